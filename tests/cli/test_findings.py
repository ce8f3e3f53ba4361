"""What a finding means, and the table of them, drawn on a terminal that is only text."""

from __future__ import annotations

import json
from dataclasses import replace
from io import StringIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from anabranch.cli.findings import Finding, Report, Subject, facts, picture, summary
from anabranch.model import Address, InfoHash, InputRefused
from anabranch.net import parse_url
from anabranch.tracker import AnnounceReply, Endpoint, ErrorType, FaultKind, ScrapeReply, TrackerFault

HASH = InfoHash(bytes(range(20)))
SECRET = "0123456789abcdefs3cret"
REPLY = AnnounceReply(interval=1800, min_interval=90, seeders=12, leechers=3, peers=(Address("192.0.2.1", 6881),))
REFUSAL = TrackerFault(
    FaultKind.REFUSED, "https://tracker.example: Unregistered torrent", reason="Unregistered torrent"
)
DEAD = TrackerFault(FaultKind.NETWORK, "https://tracker.example: Connection refused")


def subject(url: str = f"https://tracker.example/{SECRET}/announce", tier: int = 0) -> Subject:
    try:
        return Subject(url, tier, parse_url(url, ("https", "http", "udp", "wss")), False)
    except InputRefused:
        return Subject(url, tier, None, False)


WORKING = Finding(subject(), "announce", 1.0, 0.2, reply=REPLY, health=100)
FAILING = Finding(subject(), "announce", 1.0, 0.1, fault=REFUSAL)


def report(*findings: Finding, name: str = "some torrent") -> Report:
    return Report(name, HASH, findings)


def drawn(shown: Report, width: int = 80, *, unicode: bool = True, head: str | None = None, detail: int = 2) -> str:
    console = Console(file=StringIO(), width=width or 1000, legacy_windows=False)
    console.print(picture(shown, width, unicode=unicode, head=head, detail=detail))
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def told(shown: Report, *, unicode: bool = True) -> str:
    """As one line, whatever was broken."""
    return " ".join(drawn(shown, unicode=unicode).split())


def test_what_a_tracker_is_said_to_be() -> None:
    """One word, by what matters most."""
    ends = (Endpoint("ipv4", None, 0.1, REPLY), Endpoint("ipv6", None, 0.1, None, DEAD))
    assert WORKING.state == "works"
    assert replace(WORKING, seconds=6.0).state == "slow"
    assert replace(WORKING, seconds=6.0, endpoints=ends).state == "partly"
    assert replace(WORKING, endpoints=ends, wayless=frozenset({"ipv6"})).state == "works"
    assert FAILING.state == "fails"
    kinds = [subject(url).kind for url in ("https://a.example/", "udp://a.example:1", "wss://a.example/", "nonsense")]
    assert kinds == ["http", "udp", "websocket", "unusable"]


@pytest.mark.parametrize(
    ("findings", "code"),
    [([WORKING], 0), ([WORKING, WORKING], 0), ([WORKING, FAILING], 3), ([FAILING, FAILING], 1)],
)
def test_the_exit_code_is_the_health_of_all(findings: list[Finding], code: int) -> None:
    """All, some, none."""
    assert report(*findings).code == code


def test_a_line_sums_up() -> None:
    """How many, how much that is, and what is wrong with the others."""
    part = replace(WORKING, endpoints=(Endpoint("ipv4", None, 0.1, REPLY), Endpoint("ipv6", None, 0.1, None, DEAD)))
    assert list(summary(report(WORKING))) == ["the tracker works: health 100%"]
    assert list(summary(report(FAILING))) == ["the tracker does not work: health 0%; 1 torrent_not_registered"]
    assert list(summary(report(WORKING, WORKING))) == ["all 2 trackers work: health 100%"]
    [line] = summary(report(part, FAILING, FAILING, replace(FAILING, fault=DEAD)))
    assert line == ("1 of 4 trackers works: health 25%; 2 torrent_not_registered, 1 network_error, 1 only partly")
    _, hint = summary(report(replace(FAILING, fault=DEAD), replace(FAILING, fault=DEAD)))
    assert "this machine is online" in hint


def test_programs_are_told_everything() -> None:
    """Also what the tracker did not say."""
    said = facts(report(WORKING), WORKING)
    assert json.loads(json.dumps(said)) == {
        "url": f"https://tracker.example/{SECRET}/announce",
        "name": "https://tracker.example",
        "tier": 0,
        "kind": "http",
        "info_hash": str(HASH),
        "asked": "announce",
        "at": 1.0,
        "state": "works",
        "is_working": True,
        "health": 100,
        "error_type": "",
        "message": "",
        "remedy": "",
        "warning": "",
        "seconds": 0.2,
        "peers": 1,
        "seeders": 12,
        "leechers": 3,
        "downloaded": None,
        "interval": 1800,
        "min_interval": 90,
        "external_ip": None,
        "endpoints": [],
    }
    ends = (Endpoint("ipv4", Address("192.0.2.9", 443), 0.25, None, DEAD),)
    said = facts(report(FAILING), replace(FAILING, endpoints=ends))
    assert said["message"] == "Unregistered torrent"
    assert (said["is_working"], said["error_type"], said["seeders"]) == (False, "torrent_not_registered", None)
    assert said["remedy"] == REFUSAL.remedy
    assert said["endpoints"] == [
        {
            "family": "ipv4",
            "address": "192.0.2.9:443",
            "is_working": False,
            "error_type": "network_error",
            "message": "Connection refused",
            "seconds": 0.25,
            "peers": None,
        }
    ]
    scraped = facts(report(WORKING), replace(WORKING, reply=None, asked="scrape", numbers=ScrapeReply(0, 5, None)))
    assert (scraped["seeders"], scraped["downloaded"], scraped["leechers"], scraped["peers"]) == (0, 5, None, None)


def test_a_warning_is_no_failure() -> None:
    """The tracker's own words are shown."""
    warned = replace(WORKING, reply=replace(REPLY, warning="we move on Monday"))
    assert (warned.state, warned.message) == ("works", "we move on Monday")
    assert "warning: we move on Monday" in told(report(warned))


def test_the_table_says_what_is_wrong_and_what_to_do() -> None:
    """Category, the tracker's words, the remedy; a remedy that stands there already is not repeated."""
    text = told(report(WORKING, FAILING, FAILING))
    assert "1 https://tracker.example works 100% 12 3 1 0.2s" in text
    assert text.count("torrent_not_registered: Unregistered torrent") == 2
    assert text.count(f"→ {REFUSAL.remedy}") == 1
    assert text.count("→ as above") == 1
    assert "->" in told(report(FAILING), unicode=False)
    assert told(report(FAILING), unicode=False).isascii()


def test_families_are_shown_where_they_differ() -> None:
    """One tracker with two addresses: which of them does not answer, and why."""
    good, bad = Endpoint("ipv4", Address("192.0.2.9", 443), 0.1, REPLY), Endpoint("ipv6", None, 3.0, None, DEAD)
    text = told(report(replace(WORKING, endpoints=(good, bad), health=50)))
    assert "partly 50%" in text
    assert "IPv4 192.0.2.9:443: works, 0.1s IPv6: network_error: Connection refused" in text
    assert "IPv4" not in told(report(replace(WORKING, endpoints=(good, good))))
    assert "IPv6" not in told(report(replace(WORKING, endpoints=(good, bad), wayless=frozenset({"ipv6"}))))


def test_what_matters_comes_first_where_the_rest_may_be_cut_off() -> None:
    """Of a table that is drawn again and again: sum, failing trackers; and without remedies or remarks if need be."""
    shown = report(WORKING, replace(FAILING, subject=subject(tier=7)))
    lines = drawn(shown, head="at 12:00:00").splitlines()
    assert lines[0].split() == ["some", "torrent", "at", "12:00:00"]
    assert lines[1].startswith("1 of 2 trackers works")
    assert lines[3].split()[:3] == ["8", "https://tracker.example", "fails"]
    assert len(drawn(shown, head="", detail=1).splitlines()) == 6
    assert len(drawn(shown, head="", detail=0).splitlines()) == 5


@settings(max_examples=25)
@given(
    name=st.text(max_size=300),
    host=st.integers(1, 60),
    words=st.text(max_size=300),
    seeders=st.integers(0, 2**64),
    width=st.sampled_from([80, 120]),
)
def test_every_line_fits(name: str, host: int, words: str, seeders: int, width: int) -> None:
    """Whatever names, words and numbers a stranger chose; a long name of a tracker is there whole."""
    place = ".".join(["tracker" * 8] * (host // 15) + ["x" * host])
    one = replace(
        WORKING, subject=subject(f"udp://{place}:65535/{SECRET}"), reply=replace(REPLY, warning=words, seeders=seeders)
    )
    other = replace(FAILING, fault=TrackerFault(FaultKind.REFUSED, words), health=0)
    text = drawn(report(one, other, name=name), width)
    lines = text.split("\n")
    assert max(map(cell_len, lines)) <= width
    assert SECRET not in text
    [(start, end)] = [(line.index("Tracker"), line.index("State")) for line in lines if line.startswith("Tier")]
    assert place in "".join(line[start:end].strip() for line in lines)


def test_a_name_cannot_steer_the_terminal() -> None:
    """Whoever makes a torrent names it."""
    assert "\x1b" not in drawn(report(WORKING, name="some\x1b[31m torrent\r\x9b2J"))
    assert "\x9b" not in drawn(report(WORKING, name="some\x1b[31m torrent\r\x9b2J"))


def test_lines_in_a_pipe_are_not_broken() -> None:
    """Each remark is one line, however long."""
    text = drawn(report(FAILING), 0)
    assert f"→ {REFUSAL.remedy}" in "\n".join(line.strip() for line in text.splitlines())


def test_every_category_is_told_in_the_table() -> None:
    """None of them is too long."""
    faults = [TrackerFault(kind, "words", status=500 if kind is FaultKind.STATUS else 0) for kind in FaultKind]
    text = told(report(*(replace(FAILING, fault=fault) for fault in faults)))
    for fault in faults:
        assert f"{fault.error_type}: words" in text
    assert {str(fault.error_type) for fault in faults} <= set(map(str, ErrorType))
