"""Which HTTP requests bring the bytes of a torrent."""

from __future__ import annotations

from itertools import islice
from tracemalloc import get_traced_memory, start, stop
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anabranch.bencode import encode
from anabranch.metainfo import Info
from anabranch.webseed import FileMissing, Kind, Part, Source, parts_of, web_seed
from metainfo.v2 import hybrid, v2
from webseed.torrents import K, folder, single

BASE = "http://seed.example/d/"


def parts(info: Info, begin: int, end: int, url: str = BASE, kind: Kind = Kind.URL_LIST) -> list[Part]:
    return list(parts_of(web_seed(Source(url, kind), info), info, begin, end))


def asked(info: Info, url: str = BASE) -> list[str]:
    """Path and query of all requests for a whole torrent."""
    return [part.url.target for part in parts(info, 0, info.geometry.total, url) if part.url]


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("http://h/d/", "/d/a%20b"),
        ("http://h/", "/a%20b"),
        ("http://h", "/a%20b"),
        ("http://h/d/file.bin", "/d/file.bin"),
        ("http://h/d", "/d"),
        ("http://h/get?id=1", "/get?id=1"),
        ("http://h/d/?id=1", "/d/?id=1"),
        ("http://h/get?path=d/", "/get?path=d/a%20b"),
        ("http://h/%2fa%AA~+;p=1/", "/%2fa%AA~+;p=1/a%20b"),
        ("http://h/d/#there", "/d/a%20b"),
    ],
)
def test_a_single_file_s_url_is_asked_for_as_it_is_or_with_the_name_behind_a_last_slash(url: str, target: str) -> None:
    """BEP 19. Query or not, what ends in a slash is a folder, as in libtorrent 2.1.1; the rest stays byte for byte."""
    assert asked(single("a b"), url) == [target]


def test_a_folder_s_files_are_asked_for_by_the_torrent_s_name_and_their_paths() -> None:
    info = folder([("a", 1), ("b/c d", 2)], name="tör")
    assert asked(info) == ["/d/t%c3%b6r/a", "/d/t%c3%b6r/b/c%20d"]
    assert asked(info, "http://u:p@h:81/?x=/")[0] == "/?x=/t%c3%b6r/a"
    (part, _) = parts(info, 0, 3, "https://u:p@h:81/")
    assert part.url is not None
    assert (part.url.login, part.url.authority, part.url.scheme) == ("u:p", "h:81", "https")


@given(st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=8), min_size=1, max_size=4))
def test_a_server_that_unescapes_a_target_finds_the_names_and_no_more(names: list[str]) -> None:
    """None of the characters with a meaning in URLs has it in a name: no plus is a space, no question mark a query."""
    info = folder([("/".join(names), 1), ("other", 1)])
    target = asked(info)[0]
    assert set(target) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.!~*()%/")
    found = [unquote_to_bytes(part).decode() for part in target.split("/")[3:]]
    own = "/".join(names).split("/")
    assert len(found) == len(own)
    for name, original in zip(found, own, strict=True):
        assert name == original or original in ("", ".", "..") or "\0" in original


@pytest.mark.parametrize(
    ("name", "there"),
    [
        (b"a+b&c=d", "a%2bb%26c%3dd"),
        (b"100% #1?", "100%25%20%231%3f"),
        (b"%20", "%2520"),
        (b"a\\b:c", "a%5cb%3ac"),
        (b"\xff\xfe", "%ff%fe"),
        (b"a\x01", "a%01"),
        (b"CON", "CON"),
        (b"x. ", "x.%20"),
        (b"l" * 300, "l" * 300),
        ("a\u202eb".encode(), "a%e2%80%aeb"),
    ],
)
def test_files_are_asked_for_by_their_own_names_where_our_disk_has_others(name: bytes, there: str) -> None:
    """The server has the original."""
    assert asked(single(name)) == [f"/d/{there}"]
    assert asked(folder([(name, 1)])) == [f"/d/t/{there}"]


@pytest.mark.parametrize("name", [b"..", b".", b"", b"a\0b"])
def test_no_name_leads_to_another_place_at_the_server(name: bytes) -> None:
    """No file has such a name: it is asked for as it would lie on our disk."""
    safe = "ab" if name == b"a\0b" else "_"
    assert asked(folder([(b"x/" + name + b"/y", 1), (b"z", 1)]))[0] == f"/d/t/x/{safe}/y"
    info = Info.parse(encode({"length": 1, "name": b"../" + name, "piece length": K, "pieces": b"h" * 20}))
    assert asked(info) == [f"/d/{info.name}"]
    assert ".." not in info.name.split("/")


def test_names_in_utf_8_go_before_others() -> None:
    """As in libtorrent."""
    files = [{"length": 1, "path": ["f"], "path.utf-8": ["f8"]}]
    said = {"files": files, "name": "n", "name.utf-8": "n8", "piece length": K, "pieces": b"h" * 20}
    assert asked(Info.parse(encode(said))) == ["/d/n8/f8"]


def test_a_name_that_is_too_long_for_a_url_is_a_missing_file() -> None:
    """W12: a part that cannot be asked for fails the request. Left out, it would shift all bytes behind it.

    The file takes its own pieces away and no others; nobody sends megabytes to a server that refuses them.
    """
    info = folder([("a", 1), ("ü" * 2000, 1)])
    seed = web_seed(Source(BASE), info)
    found = parts_of(seed, info, 0, 2)
    assert next(found).file == 0
    with pytest.raises(FileMissing, match=r"seed\.example: .* too long") as missing:
        next(found)
    assert (missing.value.file, missing.value.status) == (1, 414)


def test_a_range_is_asked_for_only_where_it_is_not_all_of_the_file() -> None:
    info = folder([("a", K), ("b", K), ("c", K)])
    found = parts(info, K // 2, 3 * K)
    assert [(part.begin, part.length, part.ranged, part.whole) for part in found] == [
        (K // 2, K // 2, True, K),
        (0, K, False, K),
        (0, K, False, K),
    ]
    assert [part.ranged for part in parts(info, 0, 2 * K + 1)] == [False, False, True]


def test_empty_files_and_symbolic_links_are_not_asked_for() -> None:
    entries = [
        {"length": 0, "path": ["empty"]},
        {"length": 10, "path": ["a"]},
        {"length": 99, "path": ["link"], "attr": "l", "symlink path": ["a"]},
        {"length": 0, "path": ["empty too"]},
        {"length": 10, "path": ["b"]},
        {"length": 0, "path": ["last"]},
    ]
    info = Info.parse(encode({"files": entries, "name": "t", "piece length": K, "pieces": b"h" * 20}))
    assert [(part.file, part.offset, part.length) for part in parts(info, 0, 20)] == [(1, 0, 10), (4, 10, 10)]
    assert [part.file for part in parts(info, 10, 20)] == [4]


def test_a_pad_file_is_a_part_that_nobody_is_asked_for() -> None:
    """It may be a part of one, too."""
    info = folder([("a", 100), ("~.pad/28", K - 100), ("b", K)])
    found = parts(info, 0, 2 * K)
    assert [(part.file, part.begin, part.length, part.url is None, part.ranged) for part in found] == [
        (0, 0, 100, False, False),
        (1, 0, K - 100, True, False),
        (2, 0, K, False, False),
    ]
    (half, _) = parts(info, K // 2, K + 1)
    assert (half.url, half.begin, half.length, half.offset, half.ranged) == (None, K // 2 - 100, K // 2, K // 2, False)


def test_parts_of_a_v2_torrent_leave_out_what_lies_between_its_files() -> None:
    """W13: two files of 500 KB in pieces of 2 MiB."""
    length, piece_length = 500_000, 2 * 1024 * 1024
    info = Info.parse(encode(v2([("a", length), ("b", length)], piece_length)[0]))
    found = parts(info, 0, info.geometry.total)
    assert [(part.file, part.offset, part.begin, part.length, part.ranged) for part in found] == [
        (0, 0, 0, length, False),
        (1, piece_length, 0, length, False),
    ]
    assert parts(info, length, piece_length) == []
    assert [(part.offset, part.length) for part in parts(info, 491_520, piece_length + K)] == [
        (491_520, length - 491_520),
        (piece_length, K),
    ]


def test_the_only_file_of_a_v2_torrent_is_called_as_its_tree_has_it() -> None:
    """As in libtorrent: the torrent's name may be another."""
    assert asked(Info.parse(encode(v2([("leaf", 5)], name="other")[0]))) == ["/d/leaf"]
    assert asked(Info.parse(encode(v2([("a/leaf", 5)], name="fold")[0]))) == ["/d/fold/a/leaf"]


LENGTHS = st.lists(st.integers(0, 3 * K), min_size=1, max_size=6)


@given(LENGTHS, st.sampled_from(["v1", "v2", "hybrid"]), st.integers(0, 12 * K), st.integers(0, 12 * K))
def test_parts_are_the_bytes_asked_for_in_order_nothing_twice_and_nothing_left_out(
    lengths: list[int], version: str, one: int, other: int
) -> None:
    """Compared with the plain way: file by file, byte range by byte range."""
    files = [(f"{number}f", length) for number, length in enumerate(lengths)]
    if not sum(lengths):
        return
    if version == "v1":
        info = folder(files)
    else:
        info = Info.parse(hybrid(files) if version == "hybrid" else encode(v2(files)[0]))
    begin, end = sorted((one, other))
    plain = [
        (file.index, offset, stop - offset)
        for file in info.files
        if (offset := max(file.offset, begin)) < (stop := min(file.offset + file.length, end))
    ]
    found = parts(info, begin, end)
    assert [(part.file, part.offset, part.length) for part in found] == plain
    for part in found:
        file = info.files[part.file]
        assert part.offset == file.offset + part.begin
        assert part.whole == file.length
        assert (part.url is None) == file.pad
        assert part.ranged == (not file.pad and part.length < file.length)


def test_parts_of_100_000_small_files_cost_nothing_until_they_are_asked_for() -> None:
    """A slice of 64 MiB may have as many."""
    info = folder([(f"{number}", 600) for number in range(100_000)], 4 * 1024 * 1024)
    seed = web_seed(Source(BASE), info)
    start()
    found = parts_of(seed, info, 30_000_000, info.geometry.total)
    first = list(islice(found, 3))
    size = get_traced_memory()[1]
    stop()
    assert [part.file for part in first] == [50_000, 50_001, 50_002]
    assert size < 100_000


def test_pieces_are_asked_for_one_by_one_of_a_script() -> None:
    """BEP 17: hash, number, and ranges with their last byte where it is not the whole piece. There is no Range."""
    info = single(length=2 * K + 100)
    found = parts(info, K - 10, 2 * K + 100, "http://h/seed.php", Kind.HTTP_SEEDS)
    shown = [(part.begin, part.length, part.whole, part.offset, part.ranged, part.file) for part in found]
    assert shown == [(K - 10, 10, K, K - 10, False, -1), (0, K, K, K, False, -1), (0, 100, 100, 2 * K, False, -1)]
    targets = [part.url.target for part in found if part.url]
    assert [target.partition("&piece=")[2] for target in targets] == [f"0&ranges={K - 10}-{K - 1}", "1", "2"]
    for target in targets:
        assert target.startswith("/seed.php?info_hash=")
        said = target.partition("info_hash=")[2].partition("&")[0]
        assert unquote_to_bytes(said) == info.info_hash


def test_a_script_s_url_may_have_a_query_of_its_own() -> None:
    (part,) = parts(single(length=5), 0, 5, "http://h/seed.php?key=%2F", Kind.HTTP_SEEDS)
    assert part.url is not None
    assert part.url.target.startswith("/seed.php?key=%2F&info_hash=")


def test_a_script_is_asked_for_the_short_pieces_of_a_v2_torrent() -> None:
    """By the hash cut to 20 bytes; where there are no bytes nothing is asked for."""
    info = Info.parse(encode(v2([("a", 100), ("b", K + 5)])[0]))
    found = parts(info, 0, info.geometry.total, "http://h/x", Kind.HTTP_SEEDS)
    assert [(part.offset, part.length, part.whole) for part in found] == [(0, 100, 100), (K, K, K), (2 * K, 5, 5)]
    assert parts(info, 100, K, "http://h/x", Kind.HTTP_SEEDS) == []
    assert found[0].url is not None
    said = found[0].url.target.partition("info_hash=")[2].partition("&")[0]
    assert unquote_to_bytes(said) == info.info_hash
