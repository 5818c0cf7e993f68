"""The tests of connectors/: all I/O."""
