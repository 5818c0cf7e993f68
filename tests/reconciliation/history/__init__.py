"""The tests of reconciliation/history/."""
