"""Killed at any moment of a download by magnet link, and begun again by the same link: it ends right all the same."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import trees
from anabranch.api import Metainfo, create
from anabranch.metainfo import Magnet
from ours import KIB, MIB, address_of, make_client, until
from resilience.program import Downloader, pieces_on_disk, pieces_recorded

RATE = 4 * MIB  # bytes per second, so that there is something to kill
KINDS = ("v1", "v2", "hybrid")
KILLS = [5, pytest.param(30, marks=[pytest.mark.deep, pytest.mark.timeout(300)])]


def at_once(told: dict[str, Any]) -> bool:
    """It may be dialing, or be given the info dictionary."""
    return True


def learned(told: dict[str, Any]) -> bool:
    """The info dictionary is there: hashes may be missing, the storage is being opened, files are hashed."""
    return bool(told["pieces"])


def downloading(told: dict[str, Any]) -> bool:
    """In the midst of pieces. The totals of a run that was killed are not kept."""
    return bool(told["downloaded"] > 512 * KIB)


def writing(told: dict[str, Any]) -> bool:
    """Pieces are being recorded."""
    return bool(told["downloaded"] > MIB and told["pieces_complete"])


MOMENTS: tuple[Callable[[dict[str, Any]], bool], ...] = (at_once, downloading, learned, writing)


def reached(program: Downloader, moment: Callable[[dict[str, Any]], bool]) -> bool:
    """Whether the program is there."""
    return moment(program.stats())


@pytest.mark.parametrize("kills", KILLS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_link_that_is_killed_again_and_again_completes(tmp_path: Path, kind: str, kills: int) -> None:
    """W41: nothing is recorded that a hash by hand does not find, and nothing right on the disk is lost.

    All of it obfuscated; the files of a hybrid have pads between them, those of v2 gaps.
    """
    original = trees.make_folder(tmp_path / "seed" / "folder", 20, largest=MIB)
    trees.make_file(original / "large.bin", kills * 2 * MIB, seed=99)
    data = create(original, piece_length=64 * KIB, version=kind)  # type: ignore[arg-type]  # one of KINDS
    metainfo = Metainfo.parse(data)
    info = metainfo.info
    link = str(Magnet(v1=info.v1, v2=info.v2))

    with make_client(tmp_path / "seeder", "127.0.5.3", data_dir=original.parent, encryption="require") as client:
        assert client.add(data).checked.wait(30)
        seeder: tuple[str, int] = address_of(client)
        before: set[int] = set()
        for kill in range(kills):
            killable = MOMENTS[kill % len(MOMENTS)]
            with Downloader(tmp_path, "127.0.5.4", download_rate=RATE) as program:
                program.add(link, [seeder])
                until(partial(reached, program, killable))
                program.kill()
            right = pieces_on_disk(metainfo, tmp_path / "data")
            assert pieces_recorded(metainfo, tmp_path) <= right, f"wrong after kill {kill}"
            assert before <= right, f"lost by kill {kill}"
            before = right
        assert 0 < len(before) < info.geometry.piece_count
        with Downloader(tmp_path, "127.0.5.4") as program:
            program.add(link, [seeder])
            assert program.wait_complete(60)
            missing = info.geometry.content - sum(map(info.geometry.length_of, before))
            assert program.stats()["downloaded"] <= missing
    assert trees.digest(tmp_path / "data" / "folder") == trees.digest(original)
    assert not list((tmp_path / "data").rglob("*.part"))
