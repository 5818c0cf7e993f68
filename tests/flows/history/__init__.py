"""The tests of a historical reconciliation."""
