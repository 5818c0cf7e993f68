"""The steps of one run of one process."""
