"""Results as Markdown: what was asked and what came of it, then every case."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import median

from .results import Result, Verdict

HEAD = """# Measured

Medians, in brackets the lowest and the highest round; behind a rival's median how many times it ours is. Values are of
the same work in the same run, contenders taking turns. How it is measured: [benchmarks/README.md](../README.md).
"""


def markdown(results: Sequence[Result]) -> str:
    """The whole page."""
    parts = [HEAD, _targets(results), *(_case(result) for result in results), _machines(results)]
    return "\n".join(part for part in parts if part)


def number(value: float) -> str:
    """Three digits, as many as are worth telling; of large numbers all before the point."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if abs(value) >= 1 else f"{value:.3g}"


def asked(verdict: Verdict) -> str:
    """What a target wants, in short: "at least 2.5 x"."""
    target = verdict.target
    return f"at {'least' if target.at_least else 'most'} {target.ratio:,g}{' x' if target.against else ''}"


def came(verdict: Verdict) -> str:
    """What came of a target: "met: 2.61 x", "missed by 8%: 2.30 x"."""
    if verdict.measured is None:
        return "not measured"
    told = number(verdict.measured) + (" x" if verdict.target.against else "")
    return f"met: {told}" if verdict.met else f"missed by {-verdict.margin:.0%}: {told}"


def _targets(results: Sequence[Result]) -> str:
    rows = [
        [result.name, verdict.of, verdict.target.value, asked(verdict), verdict.target.against, _marked(verdict)]
        for result in results
        for verdict in result.verdicts()
    ]
    met = sum(verdict.met for result in results for verdict in result.verdicts())
    table = _table(["case", "of", "value", "target", "against", "measured"], rows)
    return f"## Targets: {met} of {len(rows)} met\n\n{table}" if rows else ""


def _marked(verdict: Verdict) -> str:
    return came(verdict) if verdict.met else f"**{came(verdict)}**"


def _case(result: Result) -> str:
    """A row for each value, a column for each contender."""
    present = [name for name, rounds in result.contenders.items() if rounds.readings]
    ours = next(iter(result.contenders))
    rows = [
        [value, *(_cell(result, name, value, "" if name in result.ours() else ours) for name in present)]
        for value in result.values()
    ]
    rows.append(["CPU-s used by others", *(number(median(result.contenders[name].other)) for name in present)])
    scaled = "" if result.scale == 1 else f", scaled to {result.scale:g}"
    told = f"## {result.name}: {result.title}{scaled}\n\n{result.date[:16].replace('T', ' ')} UTC"
    rounds = max(len(rounds.readings) for rounds in result.contenders.values())
    told += f", {rounds} round{'' if rounds == 1 else 's'}\n\n"
    return told + (_table(["", *present], rows) if present else "") + "".join(_troubles(result))


def _troubles(result: Result) -> Iterator[str]:
    for name, rounds in result.contenders.items():
        if rounds.absent:
            yield f"\n{name}: not here: {rounds.absent}\n"
        for failure in rounds.failures:
            yield f"\n{name}: failed: {_inline(failure.splitlines()[0])}\n"


def _cell(result: Result, contender: str, value: str, ours: str) -> str:
    values = result.contenders[contender].of(value)
    if not values:
        return ""
    middle = median(values)
    told = number(middle)
    if len(values) > 1:
        told += f" ({number(min(values))} to {number(max(values))})"
    own = result.median(ours, value) if ours else None
    return told if own is None or not middle else f"{told}, {number(own / middle)} x"


def _machines(results: Sequence[Result]) -> str:
    """Each machine once, with the cases that it did."""
    did: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for result in results:
        did.setdefault(tuple(sorted(result.machine.items())), []).append(result.name)
    return "## Where\n\n" + "\n".join(
        f"- {_machine(dict(machine))}" + (f": {', '.join(names)}" if len(did) > 1 else "")
        for machine, names in did.items()
    )


def _machine(machine: Mapping[str, str]) -> str:
    return _inline(", ".join(f"{name} {value}" for name, value in machine.items()))


def _table(head: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    head = list(head)
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(_inline(cell) for cell in line) + " |\n" for line in lines)


def _inline(text: str) -> str:
    """Text that ends no cell and no line."""
    return text.replace("|", "\\|").replace("\n", " ")
