"""What a web seed is, what it may give, and when it is left alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anabranch.model import InputRefused
from anabranch.webseed import PENANCE, Kind, Source, WebSeed, parts_of, web_seed
from webseed.torrents import K, folder, single

FILE = single()
FOLDER = folder([("a", K // 2), ("empty", 0), ("b", K), ("c", 3 * K)])


def usable() -> WebSeed:
    return web_seed(Source("http://seed.example:8080/d/"), FOLDER)


@pytest.mark.parametrize("around", ["%s\n", "\r\n\t %s \n", "%s"])
def test_whitespace_around_a_url_is_no_part_of_it(around: str) -> None:
    """W12: torrents and magnet links in the wild have line ends there; libtorrent asks for them, and gets nothing."""
    source = Source(around % "http://seed.example/d/")
    assert source.url == "http://seed.example/d/"
    seed = web_seed(source, FOLDER)
    assert (seed.unusable, seed.host) == ("", "seed.example")


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("ftp://seed.example/d/", "scheme 'ftp' are not supported"),
        ("file:///etc/passwd", "scheme 'file' are not supported"),
        ("http://[", "no IPv6 address"),
        ("http://[::1/d/", "no IPv6 address"),
        ("http:///d/", "no name and no address"),
        ("http://seed.example:0/", "port"),
        ("http://seed.example:99999/", "port"),
        ("seed.example/d/", "not a URL"),
        ("", "not a URL"),
        ("http://seed.example/" + "x" * 9000 + "/", "longer than"),
    ],
)
def test_a_url_that_cannot_be_used_makes_a_web_seed_that_says_so_and_gives_nothing(url: str, why: str) -> None:
    """W12: the program lives, and the user can see what is wrong. The text that is no URL stands for its host."""
    for info in (FILE, FOLDER):
        seed = web_seed(Source(url), info)
        assert why in seed.unusable
        assert seed.last_error == seed.unusable
        assert not any(map(seed.may_give, range(info.geometry.piece_count)))
        with pytest.raises(ValueError, match="unusable"):
            next(parts_of(seed, info, 0, K))
        assert seed.host == url
        assert str(seed) == "an unusable web seed"


@pytest.mark.parametrize(
    "url", ["http://seed.example/d", "http://seed.example/d/?key=1", "http://seed.example/d/x.zip"]
)
def test_a_folder_needs_a_url_that_ends_in_a_slash(url: str) -> None:
    """W12: such a web seed contributes nothing; it does not end the program."""
    seed = web_seed(Source(url), FOLDER)
    assert "is a folder" in seed.unusable
    assert not seed.may_give(0)
    assert seed.host == "seed.example"
    assert not web_seed(Source(url), FILE).unusable
    assert not web_seed(Source(url, Kind.HTTP_SEEDS), FOLDER).unusable


def test_the_host_has_no_port_and_no_login() -> None:
    """Requests are counted by it: servers at several ports of one host are one."""
    hosts = [
        web_seed(Source(url), FILE).host
        for url in ("http://Seed.Example:81/", "https://u:p@seed.example/x", "http://[::1]:80/")
    ]
    assert hosts == ["seed.example", "seed.example", "::1"]


@given(st.text())
def test_any_text_is_a_web_seed_or_says_why_not(url: str) -> None:
    """What a torrent says is never an error of ours."""
    for text in (url, f"http://{url}", f"http://h/{url}/"):
        for kind in Kind:
            seed = web_seed(Source(text, kind), FOLDER)
            if not seed.unusable:
                assert [part.offset for part in parts_of(seed, FOLDER, 0, 2 * K)]


def test_the_user_s_headers_are_kept_if_http_can_say_them() -> None:
    """A line end in one would be another header, or another request."""
    source = Source("http://h/", trusted=True, headers=(("Authorization", "Bearer abc"), ("X-A", "")))
    assert source.headers[0] == ("Authorization", "Bearer abc")
    assert "abc" not in repr(source)
    for name, text in (("X-A", "b\r\nHost: c"), ("X A", "b"), ("", "b"), ("X-A:", "b"), ("X-A", "\u20ac")):
        with pytest.raises(InputRefused, match="header"):
            Source("http://h/", headers=((name, text),))


def test_a_conviction_is_a_minute_and_is_not_made_longer_while_it_runs() -> None:
    """Several requests may run, and fail by the same mistake one after the other."""
    seed = usable()
    assert not seed.suspended(100.0)
    assert seed.convict(100.0, "h answers 500")
    assert seed.suspended(100.0 + PENANCE - 0.1)
    assert not seed.convict(130.0, "h sends too much")
    assert not seed.suspended(100.0 + PENANCE)
    assert (seed.failures, seed.last_error) == (2, "h sends too much")
    assert seed.convict(100.0 + PENANCE, "again")
    assert seed.penance_until == 100.0 + 2 * PENANCE


def test_a_pause_that_the_server_asked_for_is_no_penance() -> None:
    """Of several wishes the longest counts, and who pauses may still be convicted."""
    seed = usable()
    seed.pause(150.0)
    seed.pause(120.0)
    assert [seed.suspended(now) for now in (100.0, 149.9, 150.0)] == [True, True, False]
    assert seed.penance_until == 0.0
    assert seed.convict(100.0, "x")
    assert seed.suspended(159.9)


def test_a_failure_is_noted_and_suspends_nothing() -> None:
    seed = usable()
    seed.fail("reset by peer")
    assert (seed.failures, seed.last_error, seed.suspended(0.0)) == (1, "reset by peer", False)


def test_a_missing_file_takes_the_pieces_with_bytes_of_it_and_no_others() -> None:
    """Of pieces that two files share, too; a file without content takes none."""
    seed = usable()
    assert all(map(seed.may_give, range(5)))
    seed.lose(FOLDER, 1)
    assert all(map(seed.may_give, range(5)))
    seed.lose(FOLDER, 2)  # b: from the middle of piece 0 to the middle of piece 1
    assert [seed.may_give(piece) for piece in range(5)] == [False, False, True, True, True]
    seed.lose(FOLDER, 3)
    assert not any(map(seed.may_give, range(5)))


def test_a_closed_web_seed_gives_nothing() -> None:
    seed = usable()
    seed.closed = True
    assert not seed.may_give(0)
