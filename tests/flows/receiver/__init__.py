"""The tests of flows/receiver/."""
