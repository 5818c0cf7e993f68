"""1,000,000 awards against 1,000,000: the comparison of a historical reconciliation, beside polars
and datacompy.

``python -m benchmarks.history [--write]``. Every contender is a process of its own that reads the
same two Arrow files into its own kind of frame; that is not timed. Then: classify() from frames in
memory to the class of each key; a full join in polars of the same frames; datacompy's comparison of
the same frames in pandas. Peak memory is that of the process above the imported libraries, as a
multiple of the two frames.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.feather as feather

from flows import awards_to_hr

ROOT = Path(__file__).resolve().parent.parent
SPEC = awards_to_hr.SPEC
KEY = SPEC.entity_key
PAGE = ROOT / "docs" / "history.md"
BEGIN, END = "<!-- measured -->", "<!-- /measured -->"


def make(rows: int, folder: Path) -> None:
    """What accessplanit says and what HR holds, in different orders: 1 in 1,000 differs, is missing
    or is only there."""
    random = np.random.default_rng(7)

    def texts(prefix: str, numbers: Any) -> pa.Array:
        return pc.binary_join_element_wise(
            pa.scalar(prefix), pa.array(numbers).cast(pa.string()), ""
        )

    def days() -> pa.Array:
        return pa.array(random.integers(19000, 21000, rows).astype(np.int32)).cast(pa.date32())

    def one_of(*names: str) -> pa.Array:
        return pa.array(names).take(pa.array(random.integers(0, len(names), rows)))

    people, awards = random.integers(0, rows // 6, rows), random.integers(0, 60, rows)
    moments = pa.array(random.integers(1_600_000_000, 1_750_000_000, rows) * 1_000_000).cast(
        pa.timestamp("us", "UTC")
    )
    numbers = random.permutation(np.arange(10**7, 10**7 + rows))
    made = {
        KEY: texts("UA", numbers),
        "employee_id": texts("E", people),
        "accessplanit_user_id": texts("user", people),
        "employee_name": texts("Somebody Invented ", people),
        "award_id": texts("A", awards),
        "award_label": texts("Safety at heights, level ", awards),
        "status": one_of("Completed", "In Progress", "On Hold"),
        "target_date": days(),
        "completed_on": days(),
        "expires_on": days(),
        "renewed": pa.array(random.random(rows) < 0.2),
        "state": one_of("achieved", "expiring", "expired", "superseded"),
        "superseded_by": pc.if_else(
            pa.array(random.random(rows) < 0.2),
            texts("UA", random.integers(10**7, 10**7 + rows, rows)),
            None,
        ),
        "source_created_at": moments,
        "source_updated_at": moments,
    }
    columns = {name: made[name] for name in (KEY, *SPEC.columns())}
    truth = pa.table(columns)
    there = truth.take(pa.array(random.permutation(rows)))
    odd = random.choice(rows, rows // 1000, replace=False)
    labels = there["award_label"].to_numpy().copy()
    labels[odd[::2]] = "typed over"
    keys = there[KEY].to_numpy().copy()
    keys[odd[1::2]] = [f"HR{number}" for number in odd[1::2]]
    there = there.set_column(
        there.column_names.index("award_label"), "award_label", pa.array(labels, pa.string())
    )
    there = there.set_column(0, KEY, pa.array(keys, pa.string()))
    feather.write_feather(
        truth.combine_chunks(), folder / "truth.arrow", compression="uncompressed"
    )
    feather.write_feather(
        there.combine_chunks(), folder / "there.arrow", compression="uncompressed"
    )


def _memory(peak: bool = True) -> float:
    """MB of this process: at its highest, or now. What ``getrusage`` says would be that of the
    process which started it."""
    name = "VmHWM:" if peak else "VmRSS:"
    line = next(
        line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name)
    )
    return int(line.split()[1]) / 1024


def _tables(folder: Path) -> list[pa.Table]:
    return [
        feather.read_table(folder / f"{name}.arrow", memory_map=False)
        for name in ("truth", "there")
    ]


def ours(folder: Path) -> dict[str, Any]:
    """classify(): the class of each key."""
    from reconciliation.frame import frame
    from reconciliation.history.classes import classify

    before = _memory(peak=False)
    truth, there = (
        frame({name: table[name].combine_chunks() for name in table.column_names})
        for table in _tables(folder)
    )
    size = (
        sum(pa.array(side[name].array).nbytes for side in (truth, there) for name in side.columns)
        / 2**20
    )
    truth["source_key"] = truth[KEY]
    began = time.perf_counter()
    found = classify(truth, there, KEY, SPEC.compared())
    took = time.perf_counter() - began
    return {
        "seconds": took,
        "peak": _memory() - before,
        "frames": size,
        "found": found["class"].value_counts().to_dict(),
    }


def polars(folder: Path) -> dict[str, Any]:
    """A full join, without any comparison."""
    import polars as pl

    before = _memory(peak=False)
    truth, there = (pl.from_arrow(table) for table in _tables(folder))
    began = time.perf_counter()
    joined = truth.join(there, on=KEY, how="full")  # type: ignore[union-attr,arg-type]
    return {"seconds": time.perf_counter() - began, "peak": _memory() - before, "rows": len(joined)}


def datacompy(folder: Path) -> dict[str, Any]:
    """Its comparison of pandas frames by key."""
    import datacompy as library

    before = _memory(peak=False)
    truth, there = (table.to_pandas() for table in _tables(folder))
    began = time.perf_counter()
    compared = library.Compare(truth, there, join_columns=[KEY])
    compared.matches()
    return {
        "seconds": time.perf_counter() - began,
        "peak": _memory() - before,
        "rows": len(compared.intersect_rows),
    }


def dask(folder: Path) -> dict[str, Any]:
    """The partitions of the flow, on a local Dask cluster of two workers and in this process: are
    the classes the same?"""
    from connectors.checkpoints import Folder
    from connectors.settings import HistorySettings
    from flows.reconcile_history import compare_partitions, runner
    from reconciliation.frame import empty, frame
    from reconciliation.history.causes import EXPLAINED
    from reconciliation.history.comparison import Comparison
    from tasks.history import compare_partition, load_classes, write_partitions

    truth, there = (
        frame({name: table[name].combine_chunks() for name in table.column_names})
        for table in _tables(folder)
    )
    truth["source_key"] = truth[KEY]
    compared = Comparison(truth, there, empty(EXPLAINED), truth[KEY][:0])
    found = {}
    for name in ("threads", "dask", "one"):
        work = Folder(str(folder / name))
        number = write_partitions(work, SPEC, compared, 250_000 if name != "one" else 10**9)
        began = time.perf_counter()
        if name == "one":
            compare_partition.fn(work.url, 0)
        else:
            settings = HistorySettings(cluster="local" if name == "dask" else None)  # type: ignore[call-arg]
            compare_partitions.with_options(task_runner=runner(settings))(work.url, number)
        took = time.perf_counter() - began
        rows = (
            load_classes(work, number)
            .sort_values(["key", "source_key"], na_position="last")
            .reset_index(drop=True)
        )
        found[name] = (took, number, rows)
    same = all(found["one"][2].equals(found[name][2]) for name in ("threads", "dask"))
    return {
        "same": same,
        "rows": len(found["one"][2]),
        **{name: found[name][0] for name in found},
        "partitions": found["dask"][1],
    }


CONTENDERS = {"ours": ours, "polars": polars, "datacompy": datacompy, "dask": dask}


def contender(name: str, folder: Path) -> dict[str, Any]:
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "benchmarks.history",
        "--contender",
        name,
        "--folder",
        str(folder),
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    if done.returncode:
        raise SystemExit(f"{name}: {done.stderr[-2000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def page(rows: int, found: dict[str, list[dict[str, Any]]], cluster: dict[str, Any]) -> str:
    middle = {
        name: statistics.median(run["seconds"] for run in runs) for name, runs in found.items()
    }
    ratios = sorted(
        a["seconds"] / b["seconds"] for a, b in zip(found["ours"], found["polars"], strict=True)
    )
    memory = statistics.median(run["peak"] / run["frames"] for run in found["ours"])
    size = found["ours"][0]["frames"]
    slower = middle["datacompy"] / middle["ours"]
    return f"""`python -m benchmarks.history --write`, {date.today():%d %b %Y}, 2 cores, Python {sys.version.split()[0]}; {rows:,} awards of
{len(SPEC.columns()) + 1} columns against {rows:,} in another order, of which 1 in 1,000 differs or is missing on a side. Frames in memory →
result, {len(found["ours"])} rounds in which the contenders take turns, each a process of its own; medians.

| | seconds | peak memory above the libraries |
|---|---:|---:|
| `classify()`: the class of each key, and the fields that differ | {middle["ours"]:.2f} | {memory:.1f} × the two frames ({size:,.0f} MB) |
| polars: a full join of the same, no comparison | {middle["polars"]:.2f} | |
| datacompy: its comparison, in pandas | {middle["datacompy"]:.1f} | |

| ratio | median (lowest to highest of the rounds) | aim |
|---|---|---|
| ours / polars' join | {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}) | at most 2 |
| datacompy / ours | {slower:.0f} | at least 10 |
| peak memory / frames | {memory:.1f} | at most 3 |

In {cluster["partitions"]} partitions by path, on two threads {cluster["threads"]:.1f} s, on a local Dask cluster of two workers
{cluster["dask"]:.1f} s (nearly all of it starts Prefect's run and the cluster), in one piece {cluster["one"]:.1f} s:
{cluster["rows"]:,} rows, {"identical to the last one" if cluster["same"] else "NOT IDENTICAL"}."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", action="store_true", help="into docs/history.md")
    parser.add_argument("--contender")
    parser.add_argument("--folder")
    options = parser.parse_args()
    if options.contender:
        print(json.dumps(CONTENDERS[options.contender](Path(options.folder))))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(options.rows, folder)
        found: dict[str, list[dict[str, Any]]] = {"ours": [], "polars": [], "datacompy": []}
        for number in range(options.rounds):
            for contestant in found:
                # It takes so long that once is enough to tell.
                if contestant != "datacompy" or number == 0:
                    found[contestant].append(contender(contestant, folder))
        text = page(options.rows, found, contender("dask", folder))
    print(text)
    if options.write:
        whole = PAGE.read_text()
        head, _, rest = whole.partition(BEGIN)
        PAGE.write_text(f"{head}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    main()
