"""Tests."""

import gc
import os
import pkgutil
import sys

# A console takes this for its width when it is made, and pytest-xdist sets it: each test says how
# wide it wants its tables.
os.environ.pop("COLUMNS", None)

if "pytest" in sys.modules:
    # Until everything is imported (conftest.py): the collector would look through all of it again
    # and again.
    gc.disable()
    # What tests share fails with the values that it has compared, as a test itself does.
    sys.modules["pytest"].register_assert_rewrite(
        *(f"{__name__}.{module.name}" for module in pkgutil.iter_modules(__path__))
    )
