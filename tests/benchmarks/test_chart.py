"""The picture is drawn from whatever results there are."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import chart
from benchmarks.results import Result, Rounds

READING = {"MB/s": 500.0, "leecher CPU-s/GiB": 1.5, "seeder CPU-s/GiB": 0.5, "leecher peak RSS MiB": 80.0}


def drawn(path: Path, **contenders: Rounds) -> bool:
    pytest.importorskip("matplotlib", reason="the chart needs the extra [bench]")
    named = {name.replace("_", " -> "): rounds for name, rounds in contenders.items()}
    chart.draw([Result("case", "A case", "2026-01-01T00:00+00:00", {}, 1.0, named)], path / "results.png")
    return (path / "results.png").exists()


def test_transfers_are_drawn(tmp_path: Path) -> None:
    """Also where a rival has failed or is absent."""
    there, absent = Rounds([READING, READING]), Rounds(absent="not installed")
    assert drawn(tmp_path, anabranch_anabranch=there, libtorrent_libtorrent=absent, aria2_aria2=Rounds((), ["failed"]))


def test_what_is_no_transfer_is_not_drawn(tmp_path: Path) -> None:
    """Other cases have other values."""
    assert not drawn(tmp_path, anabranch_anabranch=Rounds([{"MB/s": 2000.0}]))
