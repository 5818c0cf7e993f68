"""accessplanit API v2, as far as it is publicly known; what is not known is in :mod:`.dialect`."""
