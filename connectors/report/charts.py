"""Draws plots as SVG images to embed in a page. Each has two versions: for wide screens and print,
and for phones."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.dates import ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

WIDE, NARROW = 8.0, 4.0
"""Widths of the two versions, in inches."""
INK, QUIET, GRID = "#1b2733", "#52606d", "#d9e0e6"
COLOURS = ("#0b5cad", "#b54708", "#0f766e", "#7a3ea1", "#a11d4f")
"""Line colours, dark enough on white and safe for red-green colour blindness. Lines also differ in
their dashes."""
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))
HORIZONS = ("#0b5cad", "#6b9bd1", "#c3d8ee")
"""Bar colours for 30, 60 and 90 days."""
BARS, LINES = 12, 5
"""Maximum number of bars, and of lines, in one plot."""
STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "hrsync",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    # A dollar sign in a name must not start a formula.
    "text.parse_math": False,
}


Draw = Callable[[Axes, bool], None]
"""Draws into axes. The second argument is true for the wide version."""


@dataclass(frozen=True)
class Picture:
    """A plot in two versions, as ``data:`` URLs."""

    wide: str
    narrow: str
    alt: str
    """Description in words."""


def causes(labels: Sequence[str], rows: Sequence[int]) -> Picture:
    """Draws the number of rows for each cause."""

    def draw(axes: Axes, wide: bool) -> None:
        bars = axes.barh(range(len(rows)), rows, color=COLOURS[0])
        axes.set_yticks(range(len(rows)), _short(labels, wide))
        axes.invert_yaxis()
        axes.bar_label(bars, [f"{number:,}" for number in rows], padding=4)
        axes.set_xlabel("rows")
        axes.margins(x=0.15)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))

    summary = "; ".join(f"{label}: {number:,}" for label, number in zip(labels, rows, strict=True))
    return _picture(draw, 0.7 + 0.34 * len(rows), f"Rows by cause. {summary}.")


def expiring(table: pd.DataFrame, of: str) -> Picture:
    """Draws the awards that expire within 30, 60 and 90 days, for the first :data:`BARS` rows of
    ``table``. ``of`` says what its names are."""
    shown = table.head(BARS)
    names = [str(name) for name in shown["name"]]
    columns = [name for name in table.columns if name != "name"]
    values = {name: [int(v) for v in shown[name]] for name in columns}

    def draw(axes: Axes, wide: bool) -> None:
        left = [0] * len(names)
        for name, colour in zip(columns, HORIZONS, strict=True):
            width = [value - start for value, start in zip(values[name], left, strict=True)]
            axes.barh(
                range(len(names)),
                width,
                left=left,
                color=colour,
                label=f"within {name} days",
                edgecolor="white",
                linewidth=0.5,
            )
            left = values[name]
        for i, value in enumerate(left):
            axes.annotate(
                f"{value:,}", (value, i), xytext=(4, 0), textcoords="offset points", va="center"
            )
        axes.set_yticks(range(len(names)), _short(names, wide))
        axes.invert_yaxis()
        axes.margins(x=0.12)
        axes.set_xlabel("awards that expire")
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.legend(
            loc="upper center",
            bbox_to_anchor=(0.4, -0.32 if len(names) < 5 else -0.18),
            ncols=3,
            frameon=False,
            fontsize=9,
            columnspacing=1,
            handlelength=1,
        )

    summary = "; ".join(
        f"{n}: {', '.join(f'{values[c][i]:,} within {c} days' for c in columns)}"
        for i, n in enumerate(names)
    )
    return _picture(
        draw, 1.3 + 0.34 * max(len(names), 2), f"Awards that expire, by {of}. {summary}."
    )


def compliance(table: pd.DataFrame, day: date) -> Picture:
    """Draws the percentage of required awards that people hold, by month: for all job roles
    together, and for the roles whose percentage will be lowest."""
    total = table.groupby("day")[["required", "compliant"]].sum()
    share = 100 * total["compliant"].astype(float) / total["required"].astype(float)
    by_role = table.assign(
        share=100 * table["compliant"].astype(float) / table["required"].astype(float)
    ).pivot(index="day", columns="role", values="share")
    worst = list(by_role.iloc[-1].sort_values().index[:LINES])

    def draw(axes: Axes, wide: bool) -> None:
        for role, colour, dash in zip(worst, COLOURS, DASHES, strict=False):
            axes.plot(
                list(by_role.index),
                by_role[role].tolist(),
                color=colour,
                linestyle=dash,
                linewidth=1.5,
                label=_short([str(role)], wide=False)[0],
            )
        axes.plot(
            list(share.index), share.tolist(), color=INK, linewidth=2.6, label="all job roles"
        )
        # matplotlib accepts dates, but its type declarations only numbers.
        axes.axvline(day, color=QUIET, linewidth=1)  # type: ignore[arg-type]
        axes.annotate(
            "as of",
            (day, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(-4, -12),
            textcoords="offset points",
            ha="right",
            color=QUIET,
        )
        axes.annotate(
            "if nothing happens",
            (day, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(4, -12),
            textcoords="offset points",
            color=QUIET,
        )
        axes.set_ylim(0, 112)
        axes.set_yticks([0, 25, 50, 75, 100])
        axes.yaxis.set_major_formatter(PercentFormatter(decimals=0))
        dates: Any = ConciseDateFormatter
        axes.xaxis.set_major_formatter(dates(axes.xaxis.get_major_locator()))
        axes.legend(
            loc="upper center",
            bbox_to_anchor=(0.5, -0.12),
            ncols=3 if wide else 1,
            frameon=False,
            fontsize=9,
        )

    on_day = share.loc[day] if day in share.index else share.iloc[len(share) // 2]
    last = share.iloc[-1]
    summary = ", ".join(f"{role} {by_role[role].iloc[-1]:.0f} %" for role in worst)
    alt = (
        f"Compliance of job roles by month: {on_day:.0f} % on the day, {last:.0f} % a year later "
        f"if nothing happens. The lowest then: {summary}."
    )
    return _picture(draw, 3.6, alt, "y")


def _short(labels: Sequence[str], wide: bool) -> list[str]:
    """Shortens labels to leave room for the plot. The table beside it has them in full."""
    longest = 42 if wide else 22
    return [label if len(label) <= longest else f"{label[: longest - 1]}…" for label in labels]


def _picture(draw: Draw, height: float, alt: str, grid: Literal["x", "y"] = "x") -> Picture:
    """Draws both versions. ``height`` is in inches."""
    return Picture(_svg(draw, WIDE, height, grid), _svg(draw, NARROW, height + 0.9, grid), alt)


def _svg(draw: Draw, width: float, height: float, grid: Literal["x", "y"]) -> str:
    """Draws one version as a ``data:`` URL."""
    with rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        axes = figure.add_subplot()
        for side in ("top", "right", "left"):
            axes.spines[side].set_visible(False)
        axes.spines["bottom"].set_color(GRID)
        axes.tick_params(length=0)
        axes.grid(axis=grid, color=GRID, linewidth=0.8)
        axes.set_axisbelow(True)
        draw(axes, width == WIDE)
        out = io.BytesIO()
        figure.savefig(out, format="svg", metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(out.getvalue()).decode()
