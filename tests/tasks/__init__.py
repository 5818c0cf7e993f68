"""The tests of tasks/."""
