"""The .torrent file around the info dictionary."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anabranch.bencode import decode, encode
from anabranch.metainfo import Metainfo, MetainfoError, compose

INFO: dict[str, Any] = {"length": 5, "name": "n", "piece length": 16384, "pieces": b"h" * 20}


def read(**fields: Any) -> Metainfo:
    """Parse a good torrent with more fields (_ stands for a space, and for a dash in the two list keys)."""
    names = {"announce_list": "announce-list", "url_list": "url-list"}
    return Metainfo.parse(encode({"info": INFO} | {names.get(k, k.replace("_", " ")): v for k, v in fields.items()}))


def test_everything_a_torrent_says_is_read() -> None:
    made = read(
        announce="http://a/announce",
        announce_list=[["http://a/announce", "udp://b:1"], ["http://c"]],
        url_list="http://seed/",
        httpseeds=["http://seed/x.php"],
        nodes=[["router.example", 6881], ["::1", 1]],
        comment="héllo",
        created_by="x/1",
        creation_date=1359599503,
    )
    assert made.trackers == (("http://a/announce", "udp://b:1"), ("http://c",))
    assert made.webseeds == ("http://seed/",)
    assert made.httpseeds == ("http://seed/x.php",)
    assert made.nodes == (("router.example", 6881), ("::1", 1))
    assert (made.comment, made.created_by, made.creation_date) == ("héllo", "x/1", 1359599503)
    assert made.warnings == ()
    assert made.info.name == "n"
    assert Metainfo.parse(made.raw) == made


def test_only_the_info_dictionary_is_needed() -> None:
    made = read()
    assert (made.trackers, made.webseeds, made.nodes) == ((), (), ())
    assert (made.comment, made.created_by, made.creation_date) == ("", "", None)


@pytest.mark.parametrize(
    ("fields", "trackers"),
    [
        ({"announce": "http://a"}, (("http://a",),)),
        ({"announce": "http://a", "announce_list": []}, (("http://a",),)),
        ({"announce": "http://a", "announce_list": [[], [""]]}, (("http://a",),)),
        ({"announce": "http://a", "announce_list": [["http://b"]]}, (("http://b",),)),
        ({"announce_list": [["http://b", "http://b"], ["http://b"], ["http://c"]]}, (("http://b",), ("http://c",))),
        ({"announce_list": ["http://b", " http://c\n"]}, (("http://b",), ("http://c",))),
        ({"announce": ""}, ()),
    ],
)
def test_trackers_come_in_tiers(fields: dict[str, Any], trackers: tuple[tuple[str, ...], ...]) -> None:
    """BEP 12: the list goes before announce. No empty tier, no URL twice; a flat list is one tier each."""
    made = read(**fields)
    assert made.trackers == trackers
    assert made.warnings == ()


@pytest.mark.parametrize("url_list", ["", [], [""], ["http://s/", "http://s/", ""]])
def test_web_seeds_are_a_string_or_a_list(url_list: object) -> None:
    """BEP 19, and BEP 17 under its own key; an empty string is how some programs say none."""
    made = read(url_list=url_list)
    assert made.webseeds == (("http://s/",) if url_list and url_list != [""] else ())
    assert made.httpseeds == ()
    assert made.warnings == ()
    scripts = read(httpseeds=url_list)
    assert (scripts.httpseeds, scripts.webseeds, scripts.warnings) == (made.webseeds, (), ())


@pytest.mark.parametrize(
    ("field", "value", "warning"),
    [
        ("announce", 5, "a tracker that is no URL"),
        ("announce", "http://a/\r\nHost: b", "a tracker that is no URL"),
        ("announce_list", 5, "'announce-list' is a number"),
        ("announce_list", [[5, {}], 7], "a tracker that is no URL"),
        ("url_list", {"a": 1}, "a web seed that is no URL"),
        ("httpseeds", [5], "a web seed that is no URL"),
        ("httpseeds", "http://s/\n\x1b[2J", "a web seed that is no URL"),
        ("nodes", "udp://tracker:80", "a DHT node"),
        ("nodes", ["udp://tracker:80", ["host"], ["host", 0], ["host", 70000], [1, 1], ["é", 1]], "a DHT node"),
        ("creation_date", "today", "'creation date'"),
        ("creation_date", -1, "'creation date'"),
        ("creation_date", 10**15, "'creation date'"),
    ],
)
def test_what_is_broken_around_the_info_is_left_out_with_one_warning(field: str, value: object, warning: str) -> None:
    made = read(**{field: value})
    assert (made.trackers, made.webseeds, made.httpseeds, made.nodes) == ((), (), (), ())
    assert made.creation_date is None
    assert len(made.warnings) == 1
    assert warning in made.warnings[0]


def test_trailing_bytes_and_lenient_bencode_are_told() -> None:
    """Real files end in newlines or have keys out of order; the info hash is that of the original bytes."""
    made = Metainfo.parse(b"d4:info" + encode(INFO) + b"7:commenti5ee\r\n")
    assert made.warnings == (
        "dictionary key b'comment' out of order at byte 82",
        "2 bytes follow the torrent and are ignored",
    )
    assert made.info == read().info


def test_of_two_info_dictionaries_the_first_counts_for_content_and_hash() -> None:
    """A parser that took one for the files and another for the hash could be shown two torrents in one."""
    first, second = encode(INFO), encode(INFO | {"name": "other"})
    for raw in (b"d4:info" + first + b"4:info" + second + b"e", b"d4:info" + first + b"1:x0:4:info" + second + b"e"):
        assert Metainfo.parse(raw).info == read().info
        assert Metainfo.parse(raw).info.raw == first


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "this is not a torrent file: the input ends at byte 0"),
        (b"<html>", "this is not a torrent file: b'<' at byte 0"),
        (b"10:libtorrent", "this is not a torrent file: it holds a string"),
        (b"de", "the torrent file has no 'info'"),
        (b"d4:infoi5ee", "has a number as 'info', a dictionary is due"),
        (b"d4:infodee", "no 'name'"),
        (b"l" * 200_000, "nested more than 100 deep"),
    ],
)
def test_what_is_no_torrent_is_refused_with_the_reason(data: bytes, reason: str) -> None:
    with pytest.raises(MetainfoError, match=reason):
        Metainfo.parse(data)


keys = st.sampled_from(
    ["announce", "announce-list", "url-list", "nodes", "comment", "creation date", "created by", "x"]
)
odd = st.recursive(
    st.integers(-2, 70000) | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=2),
    max_leaves=8,
)


@settings(max_examples=200)
@given(st.dictionaries(keys, odd), st.binary(max_size=30), st.integers(0, 60))
def test_any_bytes_are_read_or_blamed(fields: dict[str, Any], noise: bytes, at: int) -> None:
    """Around a good info dictionary anything is read; noise over the file is read or refused."""
    raw = encode({"info": INFO} | fields)
    assert Metainfo.parse(raw).info.name == "n"
    with suppress(MetainfoError):
        Metainfo.parse(raw[:at] + noise + raw[at + len(noise) :])
    with suppress(MetainfoError):
        Metainfo.parse(noise)


def test_compose_writes_what_parse_reads_and_keeps_the_info_as_it_is() -> None:
    """Canonical around an info dictionary that need not be: its hash is its name."""
    info = b"d6:lengthi05e4:name1:n12:piece lengthi16384e6:pieces20:" + b"h" * 20 + b"e"
    raw = compose(
        info,
        trackers=[["http://a", "http://b"], [], ["http://c"]],
        webseeds=["http://s/"],
        comment="c",
        created_by="me",
        creation_date=7,
        httpseeds=["http://s/x.php"],
    )
    made = Metainfo.parse(raw)
    assert made.info.raw == info
    assert made.trackers == (("http://a", "http://b"), ("http://c",))
    assert (made.webseeds, made.comment, made.created_by, made.creation_date) == (("http://s/",), "c", "me", 7)
    assert made.httpseeds == ("http://s/x.php",)
    decode(compose(encode(INFO), creation_date=7, httpseeds=["http://s/"], webseeds=["http://s/"]))  # canonical
    canonical = compose(encode(INFO), trackers=[["http://a"]])
    assert decode(canonical) == {b"announce": b"http://a", b"info": decode(encode(INFO))}
    assert compose(encode(INFO)) == encode({"info": INFO})


def test_similar_torrents_and_collections_are_read_inside_and_outside_the_info_dictionary() -> None:
    """BEP 38. What is no hash of 20 bytes, or no text, is left out; each is there once."""
    info = INFO | {"similar": [b"1" * 20, b"2" * 20, b"3" * 32, 5], "collections": ["a", b"\xff", 7]}
    made = Metainfo.parse(encode({"info": info, "similar": [b"4" * 20, b"1" * 20], "collections": ["a", "q"]}))
    assert made.similar == (b"1" * 20, b"2" * 20, b"4" * 20)
    assert made.collections == ("a", "\ufffd", "q")
    assert (read(similar=5).similar, read(collections={}).collections) == ((), ())
