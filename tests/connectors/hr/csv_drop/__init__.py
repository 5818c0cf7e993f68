"""The tests of connectors/hr/csv_drop/."""
