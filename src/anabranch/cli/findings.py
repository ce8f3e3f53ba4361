"""What came of asking a torrent's trackers: told as a table for people, and as JSON.

The rules of what a state and a health figure mean are here; who asks, and when, is diagnosing.py's affair.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Column, Table
from rich.text import Text

from anabranch.metainfo import printable
from anabranch.model import InfoHash
from anabranch.net import Url
from anabranch.tracker import SCHEMES, AnnounceReply, Endpoint, ErrorType, ScrapeReply, TrackerFault

ALL_WORK, NONE_WORKS, SOME_WORK = 0, 1, 3  # exit codes
MOST_DETAIL = 2
SLOW = 5.0  # seconds; most answer within one
_STYLES = {"works": "green", "slow": "yellow", "partly": "yellow", "fails": "red"}
_WIDTHS = {"Tier": 4, "State": 6, "Health": 6, "Seeds": 5, "Leech": 5, "Peers": 5, "Time": 5}  # all but the name
_LONGEST_NAME = 72  # columns, where nothing else limits it
_INDENT = 5  # columns that what is said of a tracker stands below its name
_UNREACHABLE = (ErrorType.DNS_ERROR, ErrorType.NETWORK_ERROR, ErrorType.TIMEOUT, ErrorType.UDP_CONNECTION_ERROR)


@dataclass(frozen=True, slots=True)
class Subject:
    """One tracker of the torrent.

    Args:
        url: As it was given; may have a passkey in it.
        tier: The first is 0.
        place: The URL taken apart, None where it is none that can be asked.
        trusted: The user named it.
    """

    url: str
    tier: int
    place: Url | None
    trusted: bool

    @property
    def name(self) -> str:
        """Scheme, host and port: fit to be shown to anybody."""
        return "not a URL" if self.place is None else str(self.place)

    @property
    def kind(self) -> str:
        """How it is spoken to: "http", "udp", "websocket", or "unusable"."""
        return "unusable" if self.place is None else SCHEMES[self.place.scheme]


@dataclass(frozen=True, slots=True)
class Finding:
    """What one question found out of a tracker.

    Args:
        subject: Which one.
        asked: "announce" or "scrape".
        at: When it answered, or failed; seconds since 1970.
        seconds: How long that took.
        reply: To an announce.
        numbers: To a scrape, newer than the reply; None also where the tracker answered, and does not know the torrent.
        fault: Why there is no answer.
        endpoints: What came of each of its address families, where that is known.
        wayless: Families by which nothing leaves this machine: no fault of the tracker's.
        health: 0 to 100: the share of its families that answered; the mean of several rounds.
    """

    subject: Subject
    asked: str
    at: float
    seconds: float
    reply: AnnounceReply | None = None
    numbers: ScrapeReply | None = None
    fault: TrackerFault | None = None
    endpoints: tuple[Endpoint, ...] = ()
    wayless: frozenset[str] = frozenset()
    health: int = 0

    @property
    def is_working(self) -> bool:
        """Whether it answered."""
        return self.fault is None

    @property
    def error_type(self) -> str:
        """The category of what is wrong, "" where nothing is."""
        return "" if self.fault is None else str(self.fault.error_type)

    @property
    def message(self) -> str:
        """What is wrong or worth knowing, in words, the tracker's own where it gave any; "" where there is nothing."""
        if self.fault is not None:
            return _told(self.fault, self.subject)
        if self.counts is None:
            return "it answers, and does not know this torrent"
        return self.warning

    @property
    def warning(self) -> str:
        """What the tracker would have people know."""
        return "" if self.reply is None else self.reply.warning

    @property
    def counts(self) -> AnnounceReply | ScrapeReply | None:
        """Where it told last how many there are."""
        return self.numbers or self.reply

    @property
    def state(self) -> str:
        """One word: "works", "slow" (after SLOW seconds), "partly" (by one of IPv4 and IPv6 only), "fails"."""
        if self.fault is not None:
            return "fails"
        if share_of(self.endpoints, self.wayless) < 100:
            return "partly"
        return "slow" if self.seconds > SLOW else "works"


@dataclass(frozen=True, slots=True)
class Report:
    """All that is known of a torrent's trackers after a round; *name* and *info_hash* are the torrent's."""

    name: str
    info_hash: InfoHash
    findings: Sequence[Finding] = ()

    @property
    def working(self) -> int:
        """How many answered."""
        return sum(finding.is_working for finding in self.findings)

    @property
    def code(self) -> int:
        """The exit code."""
        return ALL_WORK if self.working == len(self.findings) else SOME_WORK if self.working else NONE_WORKS


def share_of(endpoints: Sequence[Endpoint], wayless: frozenset[str]) -> int:
    """Which share of the address families answered, 0 to 100. Those that cannot be asked from here do not count."""
    counted = [one for one in endpoints if one.family not in wayless]
    return 100 * sum(one.fault is None for one in counted) // len(counted) if counted else 100


def facts(report: Report, finding: Finding) -> dict[str, Any]:
    """Everything of one tracker as values for JSON; null for what it did not say."""
    subject, reply, numbers, counts = finding.subject, finding.reply, finding.numbers, finding.counts
    return {
        "url": subject.url,
        "name": subject.name,
        "tier": subject.tier,
        "kind": subject.kind,
        "info_hash": str(report.info_hash),
        "asked": finding.asked,
        "at": round(finding.at, 3),
        "state": finding.state,
        "is_working": finding.is_working,
        "health": finding.health,
        "error_type": finding.error_type,
        "message": finding.message,
        "remedy": "" if finding.fault is None else finding.fault.remedy,
        "warning": finding.warning,
        "seconds": round(finding.seconds, 3),
        "peers": None if reply is None else len(reply.peers),
        "seeders": counts and counts.seeders,
        "leechers": counts and counts.leechers,
        "downloaded": numbers.completed if numbers else reply and reply.downloaded,
        "interval": reply and reply.interval,
        "min_interval": reply and reply.min_interval,
        "external_ip": reply and reply.external_ip,
        "endpoints": [_endpoint_facts(finding.subject, one) for one in finding.endpoints],
    }


def _endpoint_facts(subject: Subject, one: Endpoint) -> dict[str, Any]:
    return {
        "family": one.family,
        "address": one.address and str(one.address),
        "is_working": one.fault is None,
        "error_type": "" if one.fault is None else str(one.fault.error_type),
        "message": "" if one.fault is None else _told(one.fault, subject),
        "seconds": round(one.seconds, 3),
        "peers": None if one.reply is None else len(one.reply.peers),
    }


def _told(fault: TrackerFault, subject: Subject) -> str:
    return printable(fault.text.removeprefix(f"{subject.name}: "))


def picture(
    report: Report, width: int, *, unicode: bool, head: str | None = None, detail: int = MOST_DETAIL
) -> RenderableType:
    """The table.

    Args:
        report: What is to be seen.
        width: Columns that there are; 0 for no limit.
        unicode: More than ASCII can be shown.
        head: Drawn again and again, and maybe cut off at its end: what matters comes first, and this in its title.
        detail: 2 for all there is, 1 without remedies, 0 for a line of each tracker.
    """
    live = head is not None
    findings = sorted(report.findings, key=lambda one: one.is_working) if live else report.findings
    names = [one.subject.name for one in findings]
    room = width - sum(_WIDTHS.values()) - len(_WIDTHS) if width else _LONGEST_NAME
    name_width = max(len("Tracker"), min(max(map(len, names)), room))
    parts: list[RenderableType] = [_title(report, head), *_summed(report, live)]
    parts.append(_row(name_width, live, *(Text(word, "dim") for word in ("Tier", "Tracker", *list(_WIDTHS)[1:]))))
    said: set[str] = set()
    for one in findings:
        parts.append(_row(name_width, live, *_cells(one)))
        remarks = list(_remarks(one, said, unicode, with_remedy=detail == MOST_DETAIL)) if detail else []
        parts += [Padding(line, (0, 0, 0, _INDENT), expand=False) for line in remarks]
    return Group(*parts, *_summed(report, not live))


def _title(report: Report, head: str | None) -> RenderableType:
    name = Text(printable(report.name), "bold", no_wrap=head is not None, overflow="ellipsis")
    if head is None:
        return Text("  ").join([name, Text(str(report.info_hash))]) if name else Text(str(report.info_hash), "bold")
    grid = Table.grid(Column(ratio=1), Column(no_wrap=True), padding=(0, 1, 0, 0), expand=True)
    grid.add_row(name or str(report.info_hash), Text(head, "dim"))
    return grid


def _summed(report: Report, wanted: bool) -> list[RenderableType]:
    style = {ALL_WORK: "green", SOME_WORK: "yellow", NONE_WORKS: "red"}[report.code]
    return [Text(line, style) for line in summary(report)] if wanted else []


def _row(name_width: int, cut: bool, *cells: Text) -> Table:
    columns = [
        Column(no_wrap=True, width=width, justify="left" if name == "State" else "right")
        for name, width in _WIDTHS.items()
    ]
    columns.insert(1, Column(width=name_width, no_wrap=cut, overflow="ellipsis" if cut else "fold"))
    grid = Table.grid(*columns, padding=(0, 1, 0, 0))
    grid.add_row(*cells)
    return grid


def _cells(one: Finding) -> Iterator[Text]:
    counts = one.counts
    yield Text(str(one.subject.tier + 1), "dim")
    yield Text(one.subject.name)
    yield Text(one.state, _STYLES[one.state])
    yield Text(f"{one.health}%", "" if one.health == 100 else "yellow" if one.health else "red")
    yield _counted(counts.seeders if counts else None)
    yield _counted(counts.leechers if counts else None)
    yield _counted(len(one.reply.peers) if one.reply else None)
    yield Text(f"{one.seconds:.1f}s")


def _counted(count: int | None) -> Text:
    return Text("-" if count is None else _short(count), "" if count else "dim")


def _short(count: int) -> str:
    """A number in at most five characters."""
    for unit, letter in ((1, ""), (1000, "k"), (1000**2, "M"), (1000**3, "G")):
        if count < 10_000 * unit or letter == "G":
            break
    return f"{min(count // unit, 9999)}{letter}" if count >= 0 else "-"


def _remarks(one: Finding, said: set[str], unicode: bool, *, with_remedy: bool) -> Iterator[Text]:
    """What is to be said of a tracker besides the numbers; remedies that were *said* above are not said once more."""
    if one.fault is not None:
        yield Text.assemble((one.error_type, "red"), f": {one.message}")
        remedy = one.fault.remedy
        if with_remedy:
            words_for = Text("as above", "dim") if remedy in said else Text(remedy)
            yield Text("→ " if unicode else "-> ").append_text(words_for)
        said.add(remedy)
    elif one.warning:
        yield Text.assemble(("warning", "yellow"), f": {one.warning}")
    elif one.message:
        yield Text(one.message, "yellow")
    counted = [end for end in one.endpoints if end.family not in one.wayless]
    if len({None if end.fault is None else _told(end.fault, one.subject) for end in counted}) < 2:
        return
    for end in counted:
        family = {"ipv4": "IPv4", "ipv6": "IPv6"}.get(end.family, end.family)
        line = Text(f"{family} {end.address}: " if end.address else f"{family}: ", "dim")
        if end.fault is None:
            yield line.append(f"works, {end.seconds:.1f}s", "green")
        else:
            yield line.append(str(end.fault.error_type), "red").append(f": {_told(end.fault, one.subject)}")


def summary(report: Report) -> Iterator[str]:
    """How it is with all of them, in one line, and a second where the cause is likely to be on this side."""
    count, working = len(report.findings), report.working
    if count == 1:
        line = "the tracker works" if working else "the tracker does not work"
    elif working == count:
        line = f"all {count} trackers work"
    else:
        line = f"{working} of {count} trackers work{'s' if working == 1 else ''}"
    wrong = Counter(one.error_type for one in report.findings if not one.is_working)
    partly = sum(one.state == "partly" for one in report.findings)
    told = [f"{number} {name}" for name, number in wrong.most_common()]
    told += [f"{partly} only partly"] if partly else []
    yield f"{line}: health {100 * working // count}%{'; ' if told else ''}{', '.join(told)}"
    if count > 1 and not working and all(one in _UNREACHABLE for one in wrong):
        yield "None could be reached. Look first whether this machine is online, and whether a firewall is in the way."


def is_of_the_way(fault: TrackerFault) -> bool:
    """Whether the tracker, or the way to it, is out of order: not only that it would not do what it was asked."""
    return fault.error_type in (*_UNREACHABLE, ErrorType.TRACKER_UNAVAILABLE)
