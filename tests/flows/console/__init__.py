"""The tests of flows/console/."""
