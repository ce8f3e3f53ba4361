"""The session's values."""

from __future__ import annotations

from anabranch.model import InfoHash, InputRefused
from anabranch.storage import InUse, SavedTorrent, SessionKey


def test_one_torrent_in_two_directories_is_two_torrents() -> None:
    info_hash = InfoHash(bytes(20))
    assert SessionKey(info_hash, "/a") != SessionKey(info_hash, "/b")
    assert len({SessionKey(info_hash, "/a"), SessionKey(InfoHash(bytes(20)), "/a")}) == 1


def test_nothing_partial_is_the_rule() -> None:
    assert SavedTorrent(b"", (), True, True, 0, 0, 0.0).partial == {}


def test_a_torrent_in_use_is_the_users_mistake() -> None:
    assert issubclass(InUse, InputRefused)
