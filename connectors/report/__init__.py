"""The report of a historical reconciliation: one HTML file that needs nothing else, and tables
beside it. Personal data."""
