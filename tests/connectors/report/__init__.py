"""The tests of connectors/report/."""
