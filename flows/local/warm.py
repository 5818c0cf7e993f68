"""Everything that a run imports or loads before it begins to work.

The worker forks its runs from a process that has imported this module. Some of Prefect's modules
are imported only when a run needs them; they are listed here too. Garbage collection leaves out
what has been imported, so that it does not look through it in each run.
"""

from __future__ import annotations

import gc

import anyio._backends._asyncio
import prefect.engine
import prefect.flow_engine
import prefect.task_engine
import prefect.utilities.visualization

import connectors.accessplanit.client
import connectors.hr.sql
import flows.catalogue
import flows.local.worker
from connectors.transport import certificate_authorities

__all__ = ["anyio", "connectors", "flows", "prefect"]

certificate_authorities()
gc.collect()
gc.freeze()
