"""Who fetches from a web server is measured like a leecher, and what came is compared."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.gauge import MIB
from benchmarks.transfer import CONTENT, content
from benchmarks.webseed import ALL, FILES, FOLDER, Fetcher, fetching, folder

LENGTH = 64 * MIB

pytestmark = pytest.mark.interop


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("webseed")
    content(LENGTH, MIB)(place)
    return place


@pytest.mark.parametrize("fetcher", ALL, ids=lambda one: one.name)
def test_each_program_fetches_by_tls_from_nginx_alone(place: Path, fetcher: Fetcher) -> None:
    """It trusts the authority that was made for this, and gets every byte from the one server there is."""
    values = fetching(fetcher, tls=True, rate=LENGTH // 2).run(place / fetcher.name).values
    assert values["MB/s"] > 0
    assert values["seeder CPU-s/GiB"] > 0
    assert (place / fetcher.name / "leecher" / "data" / CONTENT).stat().st_size == LENGTH


def test_a_folder_is_fetched_whole(tmp_path: Path) -> None:
    """All of its files come, and are compared."""
    folder(LENGTH)(tmp_path)
    fetching(ALL[0], rate=LENGTH // 2).run(tmp_path / "round")
    fetched = tmp_path / "round" / "leecher" / "data" / FOLDER
    assert len([path for path in fetched.rglob("*") if path.is_file()]) == FILES
