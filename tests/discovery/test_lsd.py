"""Local announces as bytes, and how much of them is listened to."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anabranch.discovery import LocalAnnounce
from anabranch.discovery.lsd import Hearing, checked_cookie
from anabranch.model import PeerFault

HASH, OTHER = bytes(range(20)), bytes(range(20, 40))


def announce(*lines: str, first: str = "BT-SEARCH * HTTP/1.1", end: str = "\r\n") -> LocalAnnounce:
    return LocalAnnounce.parse(end.join([first, *lines, "", ""]).encode("latin-1"))


@given(st.integers(1, 65535), st.lists(st.binary(min_size=20, max_size=20), min_size=1, max_size=5, unique=True))
@pytest.mark.parametrize("v6", [False, True])
def test_what_is_written_is_read_again(v6: bool, port: int, hashes: list[bytes]) -> None:
    """For either group."""
    said = LocalAnnounce(port, tuple(hashes), "1f")
    assert LocalAnnounce.parse(said.datagram(v6=v6)) == said


def test_the_bytes_are_those_that_all_clients_read() -> None:
    """As libtorrent 2.1.1 writes them; Transmission 3.00 wants exactly these names, and two empty lines at the end."""
    said = LocalAnnounce(6881, (HASH,), "5197de1c")
    assert said.datagram(v6=False) == (
        b"BT-SEARCH * HTTP/1.1\r\nHost: 239.192.152.143:6771\r\nPort: 6881\r\n"
        b"Infohash: 000102030405060708090a0b0c0d0e0f10111213\r\ncookie: 5197de1c\r\n\r\n\r\n"
    )
    assert b"\r\nHost: [ff15::efc0:988f]:6771\r\n" in said.datagram(v6=True)
    assert b"cookie" not in LocalAnnounce(1, (HASH,)).datagram(v6=False)


def test_what_transmission_says_is_read() -> None:
    """Transmission 3.00: capitals, and no cookie."""
    said = announce("Host: 239.192.152.143:6771", "Port: 51413", f"Infohash: {HASH.hex().upper()}", "")
    assert said == LocalAnnounce(51413, (HASH,))


def test_several_torrents_in_one_datagram_are_all_read() -> None:
    """BEP 14 allows that, each is kept once."""
    lines = [f"Infohash: {each.hex()}" for each in (HASH, OTHER, HASH)]
    assert announce("Port: 1", *lines).info_hashes == (HASH, OTHER)


def test_names_are_read_in_any_case_and_lines_however_they_end() -> None:
    """As HTTP's are."""
    lines = ("COOKIE:  ab ", "port:7", f"infoHash:{HASH.hex()}", "X-Other: 1", "no header")
    assert announce(*lines, first="bt-search * http/1.0", end="\n") == LocalAnnounce(7, (HASH,), "ab")


def test_what_is_no_info_hash_is_passed_over() -> None:
    """Too short, too long, no digits; the others count."""
    bad = [
        "Infohash:",
        "Infohash: 12",
        f"Infohash: {HASH.hex()}00",
        f"Infohash: {'zz' * 20}",
        f"Infohash: {' 12' * 13}4",
    ]
    bad.append(f"Infohash: {'1' * 19}  {'1' * 19}")  # 40 letters of which two are spaces
    assert announce("Port: 1", *bad, f"Infohash: {HASH.hex()}").info_hashes == (HASH,)
    with pytest.raises(PeerFault, match="0 torrents"):
        announce("Port: 1", *bad)


@pytest.mark.parametrize("port", ["", "0", "65536", "-1", "99999999999", "one", "١"])
def test_who_can_be_reached_nowhere_says_nothing(port: str) -> None:
    """Ports that are none, and datagrams without."""
    lines = [f"Port: {port}".encode().decode("latin-1")] if port else []
    with pytest.raises(PeerFault, match="of port"):
        announce(*lines, f"Infohash: {HASH.hex()}")


@pytest.mark.parametrize(
    "datagram", [b"", b"\r\n", b"M-SEARCH * HTTP/1.1\r\nPort: 1\r\nInfohash: " + HASH.hex().encode(), b"\xff" * 100]
)
def test_other_talk_of_the_group_is_not_ours(datagram: bytes) -> None:
    """SSDP looks alike."""
    with pytest.raises(PeerFault, match="starts with"):
        LocalAnnounce.parse(datagram)


def test_a_datagram_is_read_within_bounds() -> None:
    """At most 4 KiB, and 64 torrents of it."""
    lines = [f"Infohash: {bytes([n] * 20).hex()}" for n in range(70)]
    assert len(announce("Port: 1", *lines).info_hashes) == 64
    with pytest.raises(PeerFault, match="at most 4096"):
        announce("Port: 1", *lines, "X: " + "y" * 1000)


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_are_read_or_blamed(noise: bytes, begun: bool) -> None:
    """Whoever is on the network may send them."""
    with suppress(PeerFault):
        LocalAnnounce.parse(b"BT-SEARCH * HTTP/1.1\r\n" * begun + noise)


LINES = st.tuples(st.sampled_from(["Port", "port", "Infohash", "cookie", "Host"]), st.text(max_size=45))


@given(st.lists(LINES, max_size=8))
def test_any_lines_are_read_or_blamed(lines: list[tuple[str, str]]) -> None:
    """Nearly right ones too."""
    text = "".join(f"{name}: {said}\r\n" for name, said in lines)
    with suppress(PeerFault):
        LocalAnnounce.parse(b"BT-SEARCH * HTTP/1.1\r\n" + text.encode("utf-8", "replace"))


@pytest.mark.parametrize(("port", "hashes"), [(0, (HASH,)), (65536, (HASH,)), (1, ()), (1, (b"short",))])
def test_an_announce_cannot_be_made_wrong(port: int, hashes: tuple[bytes, ...]) -> None:
    """Nobody downstream checks again."""
    with pytest.raises(ValueError, match="no announce"):
        LocalAnnounce(port, hashes)


@pytest.mark.parametrize("cookie", ["", "xyz", "1" * 17, "1\r\nPort: 2", "1\n"])
def test_a_cookie_is_a_hexadecimal_number(cookie: str) -> None:
    """libtorrent reads it as one."""
    with pytest.raises(ValueError, match="no cookie"):
        checked_cookie(cookie)
    assert checked_cookie("1aF") == "1aF"


def test_one_host_is_listened_to_50_times_a_second() -> None:
    """However much it says; others are not kept from speaking."""
    hearing = Hearing()
    assert [hearing.admits("10.0.0.1", 7.1) for _ in range(60)].count(True) == 50
    assert hearing.admits("10.0.0.2", 7.2)
    assert not hearing.admits("10.0.0.1", 7.99)
    assert hearing.admits("10.0.0.1", 8.0)


def test_all_hosts_together_are_listened_to_500_times_a_second() -> None:
    """Senders can be made up, and cost no memory beyond that second."""
    hearing = Hearing()
    assert sum(hearing.admits(f"10.0.{n >> 8}.{n & 255}", 3.5) for n in range(5000)) == 500
    assert len(hearing._heard) <= 500
    assert hearing.admits("10.9.9.9", 4.5)
