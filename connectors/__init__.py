"""All I/O: accessplanit, the HR systems and the sync store. Imports ``reconciliation``, and neither
``tasks`` nor ``flows``."""
