"""The tests of flows/local/."""
