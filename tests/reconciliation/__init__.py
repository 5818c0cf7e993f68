"""The tests of reconciliation/: they need nothing but it."""
