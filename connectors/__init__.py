"""All I/O: accessplanit, the HR systems and the sync store. Imports ``reconciliation`` and nothing
above itself."""
