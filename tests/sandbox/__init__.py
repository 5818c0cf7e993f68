"""The tests of sandbox/."""
