"""The session's values."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anabranch.bencode import encode
from anabranch.model import InfoHash, InputRefused
from anabranch.storage import (
    InUse,
    Place,
    Relocating,
    Removing,
    SavedTorrent,
    SavedTrackers,
    SavedWebSeed,
    SessionKey,
    Whereabouts,
)
from anabranch.storage.session import (
    decode_trackers,
    decode_webseeds,
    decode_whereabouts,
    encode_trackers,
    encode_webseeds,
    encode_whereabouts,
)

NAMES = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("\udc80\udcff"))
PLACES = st.builds(
    Place, NAMES, st.dictionaries(st.integers(0, 99), st.lists(NAMES, max_size=3).map(tuple), max_size=3)
)
INTENTS = st.none() | st.builds(Removing, st.none() | PLACES) | st.builds(Relocating, PLACES, st.none() | NAMES)


def test_one_torrent_in_two_directories_is_two_torrents() -> None:
    info_hash = InfoHash(bytes(20))
    assert SessionKey(info_hash, "/a") != SessionKey(info_hash, "/b")
    assert len({SessionKey(info_hash, "/a"), SessionKey(InfoHash(bytes(20)), "/a")}) == 1


def test_nothing_partial_is_the_rule() -> None:
    assert SavedTorrent(b"", (), True, True, 0, 0, 0.0).partial == {}


def test_a_torrent_in_use_is_the_users_mistake() -> None:
    assert issubclass(InUse, InputRefused)


@given(st.builds(Whereabouts, st.none() | PLACES, INTENTS))
def test_where_the_data_is_is_written_and_read(where: Whereabouts) -> None:
    """With names that are no text, too."""
    assert decode_whereabouts(encode_whereabouts(where)) == where


@given(st.binary())
def test_any_bytes_are_where_the_data_is_or_refused(noise: bytes) -> None:
    """They come from a file that may be damaged."""
    with suppress(InputRefused):
        decode_whereabouts(noise)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"le",
        encode({b"else": 1}),
        encode({b"place": 1}),
        encode({b"place": {}}),
        encode({b"place": {b"directory": b"/", b"names": []}}),
        encode({b"place": {b"directory": 1, b"names": {}}}),
        encode({b"place": {b"directory": b"/", b"names": {b"x": []}}}),
        encode({b"place": {b"directory": b"/", b"names": {b"1": b"x"}}}),
        encode({b"target": {b"directory": b"/", b"names": {}}, b"data path": 3}),
        encode({b"remove": 1, b"target": 1}),
        encode({b"place": {b"directory": b"\xed\xa0\x80", b"names": {b"1": [1]}}}),
    ],
)
def test_what_nobody_wrote_is_refused(body: bytes) -> None:
    with pytest.raises(InputRefused):
        decode_whereabouts(body)


@given(st.lists(st.builds(SavedWebSeed, NAMES, NAMES, st.lists(st.tuples(NAMES, NAMES), max_size=3).map(tuple))))
def test_web_seeds_are_written_and_read(webseeds: list[SavedWebSeed]) -> None:
    """In their order, with all of their headers."""
    assert decode_webseeds(encode_webseeds(webseeds)) == tuple(webseeds)


@given(st.lists(st.lists(NAMES, max_size=3).map(tuple)).map(tuple), st.data())
def test_trackers_are_written_and_read(tiers: tuple[tuple[str, ...], ...], data: st.DataObject) -> None:
    """In their order, and which of them the user named."""
    urls = sorted({url for tier in tiers for url in tier})
    trusted = data.draw(st.frozensets(st.sampled_from(urls))) if urls else frozenset()
    assert decode_trackers(encode_trackers(SavedTrackers(tiers, trusted))) == SavedTrackers(tiers, trusted)


@given(st.binary())
def test_any_bytes_are_lists_or_refused(noise: bytes) -> None:
    """They come from a file that may be damaged."""
    for read in (decode_webseeds, decode_trackers):
        with suppress(InputRefused):
            read(noise)


@pytest.mark.parametrize(
    "body", [b"", encode({}), encode([1]), encode([[b"u"]]), encode([[[b"u"]]]), encode([[[1, 1]]])]
)
def test_what_is_no_list_of_trackers_is_refused(body: bytes) -> None:
    """By its shape."""
    with pytest.raises(InputRefused):
        decode_trackers(body)


@pytest.mark.parametrize(
    "body",
    [b"", encode({}), encode([1]), encode([[b"u", b"k"]]), encode([[b"u", b"k", [[b"a"]]]]), encode([[1, b"", []]])],
)
def test_what_is_no_list_of_web_seeds_is_refused(body: bytes) -> None:
    """By its shape."""
    with pytest.raises(InputRefused):
        decode_webseeds(body)
