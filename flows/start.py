"""The console script. It also catches errors in settings and mappings, which are read while the
flows are imported."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable


def main() -> None:
    """Runs the command line ``hrsync``."""
    # Set before Prefect is imported. Otherwise it would report its use to its makers.
    os.environ.setdefault("DO_NOT_TRACK", "1")
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    # Without garbage collection the libraries are imported in three quarters of the time: their
    # hundreds of thousands of objects all stay.
    gc.disable()
    from pydantic import ValidationError

    from connectors.settings import problems
    from reconciliation.errors import HrsyncError

    try:
        _command_line()()
    except HrsyncError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        sys.exit(1)
    except ValidationError as error:
        # A process that its mapping contradicts, such as a field with an owner in a mapping that
        # goes one way only.
        sys.stderr.write(f"Misconfigured: {problems(error)}. Correct the mapping.\n")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


def _command_line() -> Callable[[], None]:
    """Imports the command line. Its libraries are left out of every later garbage collection."""
    from .console.cli import app

    gc.freeze()
    gc.enable()
    return app


if __name__ == "__main__":
    main()
