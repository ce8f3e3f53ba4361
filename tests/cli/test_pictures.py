"""What is printed where: as text, as JSON, and on a terminal."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from pathlib import Path

import pytest

from anabranch.bencode import encode
from anabranch.cli.findings import Finding, Report, Subject
from anabranch.cli.pictures import JsonPictures, LastPicture, LivePictures, PlainPictures, choose
from anabranch.model import InfoHash
from anabranch.net import parse_url
from anabranch.tracker import FaultKind, TrackerFault
from programs import PATIENCE, command, environment
from small_servers import HttpServer, http_reply

HASH = InfoHash(bytes(20))


def report(count: int = 1) -> Report:
    refusal = TrackerFault(FaultKind.REFUSED, "Unregistered torrent")
    long = parse_url(f"udp://{'.'.join(['tracker' * 8] * 3)}:6969", ("udp",))
    findings = [
        Finding(Subject(f"nonsense {n}", n, long if n > 8 else None, False), "announce", 1.0, 0.1, fault=refusal)
        for n in range(count)
    ]
    return Report("some torrent", HASH, findings)


def on_a_terminal(place: Path, *words: str | Path, colour: bool = True, lines: int = 24) -> str:
    """What a command writes to a terminal of 80 columns."""
    ours, theirs = pty.openpty()
    surroundings = environment(place) | {
        "TERM": "xterm-256color",
        "COLUMNS": "80",
        "LINES": str(lines),
        "LANG": "C.UTF-8",
    }
    if not colour:
        surroundings["NO_COLOR"] = "1"
    with subprocess.Popen(
        command(*words), cwd=place, env=surroundings, stdin=theirs, stdout=theirs, stderr=theirs
    ) as child:
        os.close(theirs)
        said = bytearray()
        while True:
            try:
                received = os.read(ours, 65536)
            except OSError:  # how a terminal of Linux says that nobody is there any more
                break
            if not received:
                break
            said += received
        child.wait(PATIENCE)
    os.close(ours)
    return said.decode()


def test_who_sees_what(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """JSON where it was asked for, lines where nobody looks, else a table."""
    assert isinstance(choose(as_json=True, watch=True), JsonPictures)
    assert isinstance(choose(as_json=False, watch=True), PlainPictures)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    for watch in (False, True):
        chosen = choose(as_json=False, watch=watch)
        chosen.close()
        assert isinstance(chosen, LastPicture)
        assert isinstance(chosen, LivePictures) is watch


def test_json_is_a_line_per_tracker_and_round(capsys: pytest.CaptureFixture[str]) -> None:
    """And nothing in between."""
    shown = JsonPictures()
    shown.ask(0, 2, 1.0)
    shown.show(report(2))
    shown.wait(3.0)
    shown.show(report(2))
    shown.close()
    assert [json.loads(line)["tier"] for line in capsys.readouterr().out.splitlines()] == [0, 1, 0, 1]


def test_lines_of_text_tell_of_every_round(capsys: pytest.CaptureFixture[str]) -> None:
    """Without trailing spaces; in --watch with the time above."""
    once, again = PlainPictures(watch=False), PlainPictures(watch=True)
    once.show(report())
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"some torrent  {HASH}"
    assert lines[-1].startswith("the tracker does not work: health 0%; 1 torrent_not_registered")
    for _ in range(2):
        again.show(report(10))
    told = capsys.readouterr().out
    assert told.count("some torrent") == told.count("\n20") + 1 == 2
    assert [line for line in (*lines, *told.splitlines()) if line != line.rstrip()] == []


def test_a_terminal_shows_colours_and_then_only_the_table(tmp_path: Path) -> None:
    """What was said while it asked is taken away again; with NO_COLOR there is no colour; the cursor comes back."""
    info = {"length": 1000, "name": "some torrent", "piece length": 16384, "pieces": bytes(20)}
    path = tmp_path / "some.torrent"
    with HttpServer(lambda _: http_reply(encode({"interval": 1800, "peers": b""}))) as tracker:
        path.write_bytes(encode({"announce": f"{tracker.url}/announce", "info": info}))
        told = on_a_terminal(tmp_path, "trackers", path)
        plain = on_a_terminal(tmp_path, "trackers", path, colour=False)
    assert "asking 1 tracker" in told
    assert "\x1b[32mworks" in told
    assert "\x1b[32m" not in plain
    assert "\x1b[2K" in told.rpartition("asking")[2]
    for text in (told, plain):
        *_, shown = text.split("\x1b[?25h")
        assert shown.count("works") == 2
        assert "asking" not in shown


def test_a_live_table_is_as_detailed_as_the_terminal_is_high(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Remedies go first, then what each said; the sum and who fails stay."""
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    told = {}
    for height in (60, 24, 14):
        monkeypatch.setenv("LINES", str(height))
        live = LivePictures()
        live.ask(0, 8, 0.0)
        capsys.readouterr()
        live.show(report(8))
        told[height] = capsys.readouterr().out
        live.close()
        capsys.readouterr()
    assert [text.count("torrent_not_registered:") for text in told.values()] == [8, 8, 0]
    assert [text.count("as above") for text in told.values()] == [7, 0, 0]
    assert [text.count("fails") for text in told.values()] == [8, 8, 8]
    assert all("0 of 8 trackers work" in text for text in told.values())
