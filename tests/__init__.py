"""Tests."""

import os

# A console takes this for its width when it is made, and pytest-xdist sets it: each test says how
# wide it wants its tables.
os.environ.pop("COLUMNS", None)
