"""Tests."""

import os
import pkgutil
import sys

# A console takes this for its width when it is made, and pytest-xdist sets it: each test says how
# wide it wants its tables.
os.environ.pop("COLUMNS", None)

# What tests share fails with the values that it has compared, as a test itself does.
if "pytest" in sys.modules:
    sys.modules["pytest"].register_assert_rewrite(
        *(f"{__name__}.{module.name}" for module in pkgutil.iter_modules(__path__))
    )
