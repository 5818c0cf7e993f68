"""accessplanit API v2 as publicly known. Assumptions about the unknown parts are in
:mod:`.dialect`."""
