"""Lists of addresses that nobody speaks with, in the formats that are around."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anabranch.model import InputRefused
from anabranch.net import Blocklist

V4 = st.integers(0, 2**32 - 1)
NEAR = st.integers(0x0A000000, 0x0A000040)  # where ranges meet


def spelt(number: int, version: int = 4) -> str:
    return str(ip_address(number) if version == 4 else ip_address(number + 2**127))


@pytest.mark.parametrize(
    ("line", "inside", "outside"),
    [
        ("192.0.2.1", ["192.0.2.1"], ["192.0.2.0", "192.0.2.2"]),
        ("192.0.2.0/24", ["192.0.2.0", "192.0.2.255"], ["192.0.1.255", "192.0.3.0"]),
        ("192.0.2.77/24", ["192.0.2.0", "192.0.2.255"], ["192.0.3.0"]),
        ("10.0.0.0/255.0.0.0", ["10.255.255.255"], ["11.0.0.0"]),
        ("0.0.0.0/0", ["0.0.0.0", "255.255.255.255"], ["::1"]),
        ("192.0.2.1-192.0.2.9", ["192.0.2.1", "192.0.2.9"], ["192.0.2.10"]),
        ("  192.0.2.1 - 192.0.2.9 \n", ["192.0.2.1", "192.0.2.9"], ["192.0.2.10"]),
        ("Some body:192.0.2.1-192.0.2.9", ["192.0.2.5"], ["192.0.2.10"]),
        ("Some-body, Ltd: the second, 3 - 4:192.0.2.1-192.0.2.9", ["192.0.2.5"], ["192.0.2.10"]),
        ("192.000.002.001 - 192.000.002.009 , 100 , Some-body", ["192.0.2.9"], ["192.0.2.10"]),
        ("192.0.2.1 - 192.0.2.9 , 127 , Some, body", ["192.0.2.9"], ["192.0.2.10"]),
        ("192.0.2.1 - 192.0.2.9,0,x", ["192.0.2.9"], ["192.0.2.10"]),
        ("192.0.2.1 - 192.0.2.9 , 128 , friends are let through", [], ["192.0.2.1", "192.0.2.9"]),
        ("2001:db8::1", ["2001:db8::1", "2001:DB8:0::1"], ["2001:db8::", "2001:db8::2"]),
        ("2001:db8::/32", ["2001:db8::", "2001:db8:ffff::1"], ["2001:db9::", "1.2.3.4"]),
        ("2001:db8::1-2001:db8::ff", ["2001:db8::1", "2001:db8::ff"], ["2001:db8::100"]),
        ("2001:db8::1 - 2001:db8::ff , 0 , x", ["2001:db8::ff"], ["2001:db8::100"]),
        ("::/0", ["::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"], ["192.0.2.1"]),
        ("::ffff:192.0.2.0/120", ["192.0.2.0", "::ffff:192.0.2.255"], ["192.0.3.0", "::"]),
        ("::ffff:192.0.2.1-::ffff:192.0.2.9", ["192.0.2.9"], ["192.0.2.10"]),
        ("fe80::1", ["fe80::1%eth0"], ["fe80::2%eth0"]),
    ],
)
def test_every_way_to_write_a_range_is_read(line: str, inside: list[str], outside: list[str]) -> None:
    """Networks, addresses and ranges; PeerGuardian's text; eMule's ipfilter.dat."""
    for lenient in (False, True):
        blocked = Blocklist.parse([line], lenient=lenient)
        assert [host for host in [*inside, *outside] if host in blocked] == inside
        assert (len(blocked), blocked.skipped) == (1 if inside else 0, 0)


BAD = [
    "x",
    "192.0.2",
    "192.0.2.256",
    "192.0.2.1.1",
    "192.0.2.-1",
    "192.0.2.0/33",
    "192.0.2.9-192.0.2.1",
    "192.0.2.1-2001:db8::1",
    "2001:db8::9-2001:db8::1",
    "2001:db8::/129",
    "192.0.2.1-",
    "-192.0.2.1",
    "-",
    "/",
    "name:192.0.2.1",
    "<html>",
    "١٩٢.0.2.1",
    "192.0.2.1 - 192.0.2.x , 100 , name",
]


@pytest.mark.parametrize("line", BAD)
def test_a_bad_line_of_the_users_is_an_error_with_its_number(line: str) -> None:
    """Who writes three networks wants to know that the second is none."""
    with pytest.raises(InputRefused, match="blocklist, line 3: no address, network or range: ") as told:
        Blocklist.parse(["# mine", "192.0.2.1", line, "198.51.100.1"])
    assert line in str(told.value)


@pytest.mark.parametrize("line", BAD)
def test_a_bad_line_of_a_file_is_left_out_and_counted(line: str) -> None:
    """Published lists always have some."""
    blocked = Blocklist.parse(["192.0.2.1", line, "198.51.100.1", line], lenient=True)
    assert (len(blocked), blocked.skipped) == (2, 2)


def test_a_file_without_one_good_line_is_no_list() -> None:
    """What comes where a list was is often a page that says it is gone; it must not unblock everybody silently."""
    with pytest.raises(InputRefused, match=r"not a blocklist: line 2: .*'<html>'"):
        Blocklist.parse("\n<html>\n404\n", lenient=True)
    with pytest.raises(InputRefused, match=r"x{80}'$"):
        Blocklist.parse(["x" * 1000])


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing\n// yet\n \n", "1.1.1.1 - 1.1.1.2 , 200 , all let through"])
def test_a_list_of_nothing_blocks_nobody(text: str) -> None:
    """That is what somebody wants who empties it."""
    for blocked in (Blocklist(), Blocklist.parse(text), Blocklist.parse(text, lenient=True)):
        assert len(blocked) == 0
        assert "1.1.1.1" not in blocked
        assert "::1" not in blocked


@pytest.mark.parametrize("host", ["", "localhost", "1.2.3", "1.2.3.4.5", ":", "1.2.3.4:80", "[::1]"])
def test_what_is_no_address_is_in_no_list(host: str) -> None:
    """A name is not blocked, and no error either."""
    assert host not in Blocklist.parse(["0.0.0.0/0", "::/0"])


def test_ranges_that_meet_are_one() -> None:
    """Lists name many a network twice."""
    blocked = Blocklist.parse(["10.0.0.8-10.0.0.9", "10.0.0.0-10.0.0.3", "10.0.0.2-10.0.0.7", "10.0.0.1", "10.0.0.11"])
    assert len(blocked) == 2
    assert repr(blocked) == "Blocklist(2 ranges)"
    assert "10.0.0.10" not in blocked


@given(st.lists(st.tuples(NEAR | V4, NEAR | V4), max_size=30), st.lists(NEAR | V4), st.sampled_from([4, 6]))
def test_it_knows_what_a_plain_list_knows(ranges: list[tuple[int, int]], asked: list[int], version: int) -> None:
    """However ranges overlap, and in whatever order they come."""
    ranges = [(min(both), max(both)) for both in ranges]
    blocked = Blocklist.parse(f"{spelt(first, version)}-{spelt(last, version)}" for first, last in ranges)
    numbers = [*asked, *(edge + step for both in ranges for edge in both for step in (-1, 0, 1))]
    for number in numbers:
        if 0 <= number < 2**32:
            plain = any(first <= number <= last for first, last in ranges)
            assert (spelt(number, version) in blocked) is plain


@given(st.lists(st.one_of(st.text(), st.text("0123456789.:-,/ af#"))))
def test_any_text_is_read_or_refused(lines: list[str]) -> None:
    """Files come from anywhere."""
    for lenient in (False, True):
        try:
            blocked = Blocklist.parse(lines, lenient=lenient)
        except InputRefused:
            continue
        assert blocked.skipped == 0 or lenient


def test_a_long_list_takes_a_few_bytes_for_each_range() -> None:
    """300,000 ranges are usual: two arrays of 4 bytes each."""
    blocked = Blocklist.parse(f"name:{spelt(number * 4096)}-{spelt(number * 4096 + 9)}" for number in range(30_000))
    assert len(blocked) == 30_000
    assert sum(len(one) * one.itemsize for one in blocked._v4) == 8 * 30_000
    assert spelt(29_999 * 4096 + 9) in blocked
    assert spelt(29_999 * 4096 + 10) not in blocked
