"""The tests of connectors/hr/; what holds for every system is in tests/conformance/."""
