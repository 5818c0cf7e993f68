"""Historical reconciliation: compares both sides as of a day, explains the differences and
forecasts expiry. It writes to neither side."""
