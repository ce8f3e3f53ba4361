"""Addresses that we have nothing to do with: ranges that a user names, or that published lists name by the 100,000.

Formats: networks and addresses as people write them; PeerGuardian's P2P text ("NAME:FIRST-LAST", IPv4 alone: a name
may have colons); eMule's ipfilter.dat ("FIRST - LAST , LEVEL , NAME", where a level above 127 lets through). Where a
list comes from, how it is packed, and who is asked about addresses is not known here.

Two arrays and a bisection: 8 bytes for an IPv4 range, half a microsecond for a question.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import ip_address, ip_network

from anabranch.model import InputRefused

_OCTETS = {f"{number:0{digits}}": number for number in range(256) for digits in (1, 2, 3)}  # ipfilter.dat has zeros
_LEVEL_THAT_BLOCKS = 127  # the highest that does; eMule: above it the range is let through
_COMMENTS = ("#", "//")
_LONG = 10  # digits that no level has
_SHOWN = 80  # characters of a line that an error shows
_MAPPED = 0xFFFF << 32  # ::ffff:0:0, where IPv6 keeps IPv4 addresses
_ALL_V4 = 0xFFFFFFFF

_Range = tuple[bool, int, int]  # is it IPv6, the first address, the last


class Blocklist:
    """A set of IP addresses that does not change. `host in blocklist` takes a logarithm of its length.

    Args:
        ranges: First and last address of each, in any order; they may overlap. From parse().
    """

    __slots__ = ("_v4", "_v6", "skipped")

    def __init__(self, ranges: Iterable[_Range] = ()) -> None:
        packed, large = array("Q"), []  # a number for each range: what sorts it, and half of what a tuple takes
        for is_v6, first, last in ranges:
            if is_v6:
                large.append(first << 128 | last)
            else:
                packed.append(first << 32 | last)
        starts, ends = _merged(sorted(packed), 32)
        self._v4 = array("I", starts), array("I", ends)
        self._v6 = _merged(sorted(large), 128)
        self.skipped = 0  # lines that could not be read

    @classmethod
    def parse(cls, lines: str | Iterable[str], *, lenient: bool = False) -> Blocklist:
        """Read a list: a network, address or range on each line, or what P2P and DAT files have there.

        Empty lines and those that begin with # or // say nothing.

        Args:
            lines: The lines, or a text of them: "10.0.0.0/8", "192.0.2.1", "2001:db8::-2001:db8::ff",
                "NAME:FIRST-LAST", "FIRST - LAST , LEVEL , NAME".
            lenient: For files that others made, which always have a few bad lines: those are left out and counted in
                `skipped`. Otherwise, as for what a user wrote, one bad line is an error.

        Raises:
            InputRefused: a bad line, with its number; or, where lenient, bad lines and not one good: this is no list.
        """
        good, skipped, fault = False, 0, ""

        def ranges() -> Iterator[_Range]:
            nonlocal good, skipped, fault
            for number, line in enumerate(lines.splitlines() if isinstance(lines, str) else lines, 1):
                text = line.strip()
                if not text or text.startswith(_COMMENTS):
                    continue
                try:
                    one = _read(text)
                except ValueError:
                    skipped += 1
                    fault = fault or f"line {number}: no address, network or range: {text[:_SHOWN]!r}"
                    if not lenient:
                        raise InputRefused(f"blocklist, {fault}") from None
                    continue
                good = True
                if one is not None:
                    yield one

        made = cls(ranges())
        if fault and not good:
            raise InputRefused(f"not a blocklist: {fault}")
        made.skipped = skipped
        return made

    def __contains__(self, host: str) -> bool:
        """Whether that IP address is in the list; what is no IP address is not."""
        try:
            is_v6, number = _number(host)
        except ValueError:
            return False
        bounds: tuple[Sequence[int], Sequence[int]] = self._v6 if is_v6 else self._v4
        starts, ends = bounds
        place = bisect_right(starts, number)
        return place > 0 and number <= ends[place - 1]

    def __len__(self) -> int:
        """How many ranges that do not touch each other."""
        return len(self._v4[0]) + len(self._v6[0])

    def __repr__(self) -> str:
        return f"Blocklist({len(self)} ranges)"


def _read(text: str) -> _Range | None:
    """The range that a line names; None for one that is let through. Raises ValueError for anything else."""
    body, _, rest = text.partition(",")
    level = rest.partition(",")[0].strip()
    if "-" in body and level.isascii() and level.isdigit() and len(level) < _LONG:
        return _between(body) if int(level) <= _LEVEL_THAT_BLOCKS else None
    if "-" in text:
        return _between(text)
    if "/" in text:
        network = ip_network(text, strict=False)
        return _ends(network.version == 6, int(network.network_address), int(network.broadcast_address))
    is_v6, number = _number(text)
    return is_v6, number, number


def _between(text: str) -> _Range:
    """The range "FIRST-LAST", with a name and a colon before it perhaps."""
    first, _, last = text.rpartition("-")
    is_v6, end = _number(last.strip())
    if not is_v6:
        first = first.rpartition(":")[2]
    also_v6, start = _number(first.strip())
    if is_v6 is not also_v6 or start > end:
        raise ValueError("a range that ends before it begins")
    return is_v6, start, end


def _ends(is_v6: bool, first: int, last: int) -> _Range:
    """A range, that of IPv4 addresses in IPv6 clothes as what it is."""
    if is_v6 and first >= _MAPPED and last <= _MAPPED + _ALL_V4:
        return False, first - _MAPPED, last - _MAPPED
    return is_v6, first, last


def _number(host: str) -> tuple[bool, int]:
    """Whether an address is an IPv6 one, and its number. Raises ValueError for what is no address."""
    if ":" not in host:
        try:
            first, second, third, fourth = host.split(".")
            number = _OCTETS[first] << 24 | _OCTETS[second] << 16 | _OCTETS[third] << 8 | _OCTETS[fourth]
        except KeyError:
            raise ValueError("not an octet") from None
        return False, number
    number = int(ip_address(host.partition("%")[0]))
    is_v6, number, _ = _ends(True, number, number)
    return is_v6, number


def _merged(ranges: list[int], bits: int) -> tuple[list[int], list[int]]:
    """Ranges, sorted, as first and last addresses, those that overlap or touch made one."""
    starts: list[int] = []
    ends: list[int] = []
    mask, end = (1 << bits) - 1, -2
    for one in ranges:
        first, last = one >> bits, one & mask
        if first > end + 1:
            starts.append(first)
            ends.append(last)
            end = last
        elif last > end:
            ends[-1] = end = last
    return starts, ends
