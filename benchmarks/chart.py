"""Results as a picture: transfers, ours beside rivals'. Bars are medians, whiskers the lowest and the highest round."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from textwrap import fill
from typing import TYPE_CHECKING

from .report import number
from .results import Result, Rounds

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MISSING = "" if find_spec("matplotlib") else "matplotlib is not installed (pip install '.[bench]')"

FAMILIES: Mapping[str, str] = {  # who is involved, in the legend's order, and its colour
    "anabranch": "#0b6e99",
    "anabranch and libtorrent": "#6cb8d2",
    "libtorrent": "#d9822b",
    "aria2": "#8a9a5b",
}
SPEED, MEMORY = "MB/s", "leecher peak RSS MiB"
SEEDER, LEECHER = "seeder CPU-s/GiB", "leecher CPU-s/GiB"
TITLE_WIDTH = 26  # letters in a line
GAP = 0.8  # between cases, in bars
THICK = 0.82  # of the distance between bars
INK, QUIET, GRID = "#222222", "#6b6b6b", "#e3e3e3"


@dataclass(frozen=True)
class Bar:
    """One contender of one case, and how far down it stands."""

    at: float
    title: str  # of its case, at the first of its bars; "" at others
    name: str
    family: str
    rounds: Rounds

    @property
    def colour(self) -> str:
        """Of its family."""
        return FAMILIES[self.family]


def draw(results: Sequence[Result], path: Path) -> None:
    """Write a PNG of the transfers among the results; without any, write nothing."""
    import matplotlib as mpl  # only here: it takes a second, and is not everywhere

    mpl.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.patches import Patch

    bars = list(_bars(results))
    if not bars:
        return
    depth = bars[-1].at + 1
    mpl.rcParams.update({"font.size": 12, "text.color": INK, "axes.labelcolor": INK, "ytick.color": INK})
    figure, (speed, cost, memory) = plt.subplots(
        1, 3, sharey=True, figsize=(12, 1.6 + 0.25 * depth), width_ratios=(5, 3.6, 3.2), layout="constrained"
    )
    _draw_bars(speed, bars, SPEED)
    _draw_cost(cost, bars)
    _draw_bars(memory, bars, MEMORY)
    _frame(speed, "MB/s", "more is better")
    _frame(cost, "CPU seconds per GiB", "less is better; dark: leecher")
    _frame(memory, "Leecher's memory", "less is better; peak, MiB")
    titles = [bar for bar in bars if bar.title]
    speed.set_yticks([bar.at for bar in titles], [_lines(bar.title) for bar in titles])
    speed.set_ylim(depth - 0.4, -0.6)
    families = {bar.family for bar in bars}
    handles = [Patch(color=colour, label=name) for name, colour in FAMILIES.items() if name in families]
    figure.legend(handles=handles, loc="outside upper left", ncols=4, frameon=False, fontsize=13)
    figure.supxlabel(_caption(results), fontsize=10.5, color=QUIET)
    figure.savefig(path, dpi=140)
    plt.close(figure)


def _bars(results: Sequence[Result]) -> Iterator[Bar]:
    """Of every transfer whose programs have a colour: Transmission, paced by timers, is too slow to be seen."""
    at = 0.0
    for result in results:
        title = result.title
        for name, rounds in result.contenders.items():
            family = _family(name)
            if family and rounds.of(SPEED) and rounds.of(LEECHER):
                yield Bar(at, title, name, family, rounds)
                at, title = at + 1, ""
        at += 0 if title else GAP


def _lines(title: str) -> str:
    """How much of it, and then of what."""
    much, _, what = title.partition(", ")
    return f"{much}\n{what}" if what else fill(title, TITLE_WIDTH)


def _family(contender: str) -> str:
    """Who is involved in "anabranch -> libtorrent"; a crowd of sessions is nobody. "": somebody without a colour."""
    sides = {side for side in contender.split(" -> ") if "sessions" not in side}
    family = " and ".join(sorted(sides))
    return family if family in FAMILIES else ""


def _draw_bars(axes: Axes, bars: Sequence[Bar], value: str) -> None:
    for bar in bars:
        values = bar.rounds.of(value)
        middle = median(values)
        reach = [[middle - min(values)], [max(values) - middle]] if len(values) > 1 else None
        axes.barh(bar.at, middle, THICK, color=bar.colour, xerr=reach, error_kw={"ecolor": INK, "elinewidth": 1})
        _label(axes, bar.at, max(values), number(middle) + _who(bar, value))


def _draw_cost(axes: Axes, bars: Sequence[Bar]) -> None:
    for bar in bars:
        leecher, seeder = median(bar.rounds.of(LEECHER)), median(bar.rounds.of(SEEDER))
        axes.barh(bar.at, leecher, THICK, color=bar.colour)
        axes.barh(bar.at, seeder, THICK, left=leecher, color=_lighter(bar.colour))
        _label(axes, bar.at, leecher + seeder, number(leecher + seeder))


def _label(axes: Axes, at: float, end: float, text: str) -> None:
    """What stands behind a bar."""
    axes.annotate(text, (end, at), (4, 0), textcoords="offset points", va="center", fontsize=10.5)


def _who(bar: Bar, value: str) -> str:
    """Which way it went, where its colour leaves that open; said once."""
    return f"   {bar.name.replace('->', '→')}" if value == SPEED and " and " in bar.family else ""


def _lighter(colour: str) -> str:
    """Half way to white."""
    return "#" + "".join(f"{(int(colour[at : at + 2], 16) + 255) // 2:02x}" for at in (1, 3, 5))


def _frame(axes: Axes, title: str, subtitle: str) -> None:
    axes.set_title(title, loc="left", fontsize=13, fontweight="bold", pad=22)
    axes.annotate(subtitle, (0, 1), (0, 7), "axes fraction", textcoords="offset points", color=QUIET, fontsize=11)
    axes.margins(x=0.2)  # room for numbers
    axes.set_xlim(left=0)
    axes.locator_params(axis="x", nbins=6)
    axes.grid(axis="x", color=GRID)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    axes.tick_params(axis="x", labelcolor=QUIET, labelsize=10.5)
    axes.spines[:].set_visible(False)


def _caption(results: Sequence[Result]) -> str:
    """When and where, and what the marks are."""
    last = max(results, key=lambda result: result.date)
    machine = last.machine
    where = ", ".join([machine.get("cpu", ""), f"{machine.get('cores', '?')} cores", f"Python {machine.get('Python')}"])
    return f"Medians, whiskers from the lowest to the highest round. {last.date[:10]}, {where}, loopback, in memory."
