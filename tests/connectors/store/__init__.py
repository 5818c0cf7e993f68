"""The tests of connectors/store/, on SQLite and PostgreSQL."""
