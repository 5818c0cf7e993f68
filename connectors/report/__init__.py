"""The report of a historical reconciliation: one self-contained HTML file, and tables as CSV and
Parquet. It holds personal data."""
