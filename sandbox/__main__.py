"""``python -m sandbox``: serves a sandbox on loopback until it is interrupted."""

from __future__ import annotations

import argparse
import sys

import uvicorn

from .app import ROOT, SEED, Sandbox, make_app
from .tenant import TENANTS


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m sandbox", description=__doc__)
    parser.add_argument("--port", type=int, default=8600)
    parser.add_argument("--database", default=":memory:", help="a file to keep the organisation in")
    parser.add_argument("--people", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--tenant", choices=sorted(TENANTS), default="standard")
    parser.add_argument("--hourly-limit", type=int, default=5000)
    chosen = parser.parse_args()
    sandbox = Sandbox(
        chosen.database,
        seed=chosen.seed,
        size=chosen.people,
        tenant=TENANTS[chosen.tenant],
        hourly_limit=chosen.hourly_limit,
    )
    sys.stdout.write(
        f"accessplanit: http://127.0.0.1:{chosen.port}{ROOT} (API key: SANDBOX_API_KEY, or "
        "sandbox-key). Ctrl-C stops it.\n"
    )
    sys.stdout.flush()
    uvicorn.run(make_app(sandbox), host="127.0.0.1", port=chosen.port, log_level="warning")


if __name__ == "__main__":
    main()
