"""The tests of flows/: the whole path, and each flow from end to end."""
