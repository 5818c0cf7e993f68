"""The tests of connectors/accessplanit/."""
