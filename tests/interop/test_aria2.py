"""We and aria2c: by .torrent and magnet link, plain and encrypted, in both directions. v1, as Debian's is."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("libtorrent", reason="libtorrent, which makes the torrents, has no wheel for this Python")

from interop.aria2_peer import Aria2Peer
from interop.matrix import LINES, SOURCES, Content, bytes_below, dial_until, fetch, make_content
from ours import make_client

pytestmark = pytest.mark.interop


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> Content:
    """One folder for the tests of both directions."""
    return make_content(tmp_path_factory.mktemp("seed"), "folder")


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("source", SOURCES)
def test_what_aria2_has_we_download(content: Content, source: str, line: str, tmp_path: Path) -> None:
    """Metadata, too, where we have a link alone."""
    ours, theirs = LINES[line]
    with (
        Aria2Peer(tmp_path / "aria2", "127.0.11.1", encryption=theirs) as seeder,
        make_client(tmp_path, "127.0.11.2", encryption=ours) as client,
    ):
        seeder.add(content.torrent, content.path.parent)
        fetch(client.add(content.source(source)), (seeder.host, seeder.port))
    assert bytes_below(tmp_path / "data" / content.path.name) == bytes_below(content.path)


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("source", SOURCES)
def test_what_we_have_aria2_downloads(content: Content, source: str, line: str, tmp_path: Path) -> None:
    """We dial it: it cannot be told of a peer."""
    ours, theirs = LINES[line]
    with (
        Aria2Peer(tmp_path / "aria2", "127.0.11.3", encryption=theirs) as leecher,
        make_client(tmp_path, "127.0.11.4", data_dir=content.path.parent, encryption=ours) as client,
    ):
        torrent = client.add(content.torrent)
        assert torrent.checked.wait(30)
        leecher.add(content.source(source), tmp_path / "leech")
        dial_until(lambda: leecher.stats()["finished"], torrent, (leecher.host, leecher.port))
    assert bytes_below(tmp_path / "leech" / content.path.name) == bytes_below(content.path)
