"""What a torrent can be added by, and what is said of everything else."""

from __future__ import annotations

from pathlib import Path

import pytest

from anabranch.api import InputRefused, Metainfo
from anabranch.api.source import Source, resolve
from origin import Origin


def test_a_torrent_is_named_held_or_is_the_metainfo_itself(origin: Origin, tmp_path: Path) -> None:
    """Path as text or as an object, the file's bytes, or what was read of them."""
    path = tmp_path / "a torrent.torrent"
    path.write_bytes(origin.torrent)
    metainfo = origin.metainfo
    sources: list[Source] = [str(path), path, origin.torrent, metainfo]
    assert [resolve(source) for source in sources] == [metainfo] * 4
    assert resolve(metainfo) is metainfo


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("magnet:?xt=urn:btih:" + "ab" * 20, "magnet links are not supported yet"),
        ("MAGNET:?xt=urn:btih:" + "ab" * 20, "magnet links are not supported yet"),
        ("https://example.org/a.torrent", "URLs of .torrent files are not supported yet"),
        ("http://example.org/a.torrent", "URLs of .torrent files are not supported yet"),
        ("ab" * 20, "bare info hashes are not supported yet"),
        ("A" * 32, "bare info hashes are not supported yet"),
    ],
)
def test_what_is_not_supported_yet_is_said_to_be_so(source: str, words: str) -> None:
    """Not "no such file": the user named a source that others know."""
    with pytest.raises(InputRefused, match=words) as refused:
        resolve(source)
    assert source in str(refused.value)


def test_a_file_that_looks_like_something_else_is_a_file(
    origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some programs keep torrents under their info hashes."""
    monkeypatch.chdir(tmp_path)
    for name in ("ab" * 20, "magnet:x"):
        Path(name).write_bytes(origin.torrent)
        assert resolve(name) == origin.metainfo


def test_what_cannot_be_read_is_refused_in_the_system_s_words(tmp_path: Path) -> None:
    """With the path."""
    for path, words in [(tmp_path / "none.torrent", "No such file"), (tmp_path, "Is a directory")]:
        with pytest.raises(InputRefused, match=words) as refused:
            resolve(path)
        assert str(path) in str(refused.value)


@pytest.mark.parametrize("junk", [b"", b"d4:infoi1ee", b"<html>", b"\0" * 100])
def test_what_is_no_torrent_is_refused(tmp_path: Path, junk: bytes) -> None:
    """Whether as bytes or in a file, and then with the path."""
    path = tmp_path / "junk.torrent"
    path.write_bytes(junk)
    with pytest.raises(InputRefused):
        resolve(junk)
    with pytest.raises(InputRefused, match=r"junk\.torrent"):
        resolve(str(path))


def test_a_torrent_read_again_from_its_own_bytes_is_the_same(origin: Origin) -> None:
    """So that Torrent.metainfo.raw may be handed to another client."""
    assert Metainfo.parse(resolve(origin.torrent).raw) == origin.metainfo
