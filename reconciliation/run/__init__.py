"""One run of one process, step by step."""
