"""The live table, drawn on a terminal that is only text."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from anabranch.cli.board import Board, table
from anabranch.cli.views import Row
from anabranch.model import InfoHash


def row(number: int, rate: float = 0.0) -> Row:
    return Row(
        torrent=InfoHash(number.to_bytes(20, "big")),
        name=f"torrent {number:02} with a name that is longer than there is room for",
        state="59m59s left" if rate else "no peers",
        stage="live",
        done=1,
        total=2,
        share=0.5,
        rate_down=rate,
        rate_up=rate,
        peers=12,
        seeds=1,
        left=3599.0 if rate else None,
    )


def drawn(rows: list[Row], most: int) -> list[str]:
    console = Console(file=StringIO(), width=80, legacy_windows=False)
    console.print(table(rows, most))
    assert isinstance(console.file, StringIO)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("count", [1, 5, 30])
def test_a_torrent_is_one_line_of_80_columns(count: int) -> None:
    """And everything that matters is in it."""
    lines = drawn([row(number, 1023.9 * 1024**2) for number in range(count)], 40)
    assert len(lines) == count + (count > 1)
    for line in lines[:count]:
        assert len(line) <= 80
        for word in ("torrent ", "50%", "1023.9 MiB/s", "12p", "59m59s"):
            assert word in line


def test_web_seeds_stand_beside_the_peers() -> None:
    """In the lines of those that have any; all lines stay in 80 columns."""
    lines = drawn([row(1, 5000.0), replace(row(2, 1023.9 * 1024**2), webseeds=3)], 40)
    assert "12p 3w" in lines[1]
    assert "3w" not in lines[0]
    assert all(len(line) <= 80 for line in lines)
    assert lines[-1].endswith("24 peers, 3 web seeds") or "..." in lines[-1] or "…" in lines[-1]


def test_where_not_all_fit_those_that_move_are_shown() -> None:
    """The rest are counted."""
    lines = drawn([row(number, 5000.0 if number == 29 else 0.0) for number in range(30)], 10)
    assert len(lines) == 11
    assert "torrent 29" in lines[0]
    assert lines[-2].startswith("... and 21 more")
    assert lines[-1].startswith("30 torrents, 0 complete, down 4.9 KiB/s")


def test_of_what_nothing_is_known_yet_no_share_is_told() -> None:
    """A magnet link's torrent may be called by its hash, which is longer than there is room for."""
    nameless = replace(row(1), name="ab" * 20, stage="learning", state="metadata", done=0, total=0, share=0.0)
    [line] = drawn([nameless], 40)
    assert line.startswith("abababab")
    assert "…" in line
    assert "%" not in line
    assert line.rstrip().endswith("12p metadata")


def test_there_is_room_for_what_a_terminal_writes_when_ctrl_c_is_pressed(monkeypatch: pytest.MonkeyPatch) -> None:
    """It writes "^C" where we stopped: in a full line that would go to the next one, and shift what is drawn over."""
    terminal = StringIO()
    monkeypatch.setattr(sys, "stderr", terminal)
    for name, value in (("FORCE_COLOR", "1"), ("COLUMNS", "80"), ("LINES", "24"), ("TERM", "xterm")):
        monkeypatch.setenv(name, value)
    board = Board()
    board.draw([row(1, 1023.9 * 1024**2), row(2, 1023.9 * 1024**2)])
    board.close()
    lines = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", terminal.getvalue()).replace("\r", "\n").splitlines()
    drawn_lines = [line for line in lines if "torrent" in line]
    assert len(drawn_lines) >= 3
    assert {len(line) for line in drawn_lines} == {78}
