"""Where work starts: one file per process, the path they share, and the command line. Imported by
nobody."""
