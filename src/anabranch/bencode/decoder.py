"""Bencode to values, strictly or with the mistakes that are found in real torrents.

Source: BEP 3 ("bencoding"). Strict means canonical: what is accepted encodes to the same bytes again. Lenient also
accepts what libtorrent 2.1 accepts: leading zeros, -0, and dictionary keys out of order or repeated, where the first
of a name wins. No recursion, so that depth costs a stranger's bytes and not our stack.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import repeat
from typing import Any

from .values import LIMITS, BencodeError, Limits, Value

_MAX_WARNINGS = 10
_MAX_LENGTH_DIGITS = 20  # of a string's length; more cannot be true and would only cost time
_DIGIT_0, _DIGIT_9, _COLON = b"09:"
_DICT, _END, _INTEGER, _LIST, _MINUS = b"deil-"


@dataclass(frozen=True, slots=True)
class Decoded:
    """A value and what else was learned while reading it.

    Args:
        value: What the bytes say.
        end: How many bytes the value took; the input may go on behind it.
        warnings: What was not canonical, in words, at most 10; empty when strict.
        spans: For a dictionary, where the value of each of its own keys lies in the input: (start, end) in bytes.
    """

    value: Value
    end: int
    warnings: tuple[str, ...]
    spans: Mapping[bytes, tuple[int, int]]


def decode(data: bytes | bytearray | memoryview, *, lenient: bool = False, limits: Limits = LIMITS) -> Value:
    """Read one value that is the whole input.

    Raises:
        BencodeError: not bencode, over the limits, or bytes follow the value (those are forgiven when lenient).
    """
    raw = bytes(data)
    value, end = _Reader(raw, lenient, limits).read()
    if end < len(raw) and not lenient:
        raise BencodeError(f"{len(raw) - end} bytes follow the value that ends at byte {end}", end)
    return value


def decode_prefix(
    data: bytes | bytearray | memoryview, *, lenient: bool = False, limits: Limits = LIMITS
) -> tuple[Value, int]:
    """Read one value at the start of the input; return it with its length in bytes.

    Raises:
        BencodeError: not bencode, or over the limits.
    """
    return _Reader(bytes(data), lenient, limits).read()


def decode_noted(data: bytes | bytearray | memoryview, *, lenient: bool = False, limits: Limits = LIMITS) -> Decoded:
    """Read one value at the start of the input, with warnings, and the spans of a dictionary's values.

    Raises:
        BencodeError: not bencode, or over the limits.
    """
    reader = _Reader(bytes(data), lenient, limits)
    value, end = reader.read()
    return Decoded(value, end, tuple(reader.warnings), reader.spans(end))


class _Reader:
    """One pass over one input."""

    __slots__ = ("_data", "_key_marks", "_lenient", "_limits", "warnings")

    def __init__(self, data: bytes, lenient: bool, limits: Limits) -> None:
        self._data = data
        self._lenient = lenient
        self._limits = limits
        self._key_marks: list[tuple[bytes, int, int]] = []  # of the outermost dictionary: key, its start, its end
        self.warnings: list[str] = []

    def spans(self, end: int) -> dict[bytes, tuple[int, int]]:
        """Values lie between the end of their key and the start of the next; the last one ends before the final "e"."""
        spans: dict[bytes, tuple[int, int]] = {}
        until = end - 1
        for key, key_start, key_end in reversed(self._key_marks):
            spans[key] = (key_end, until)  # going backwards, the first of a repeated key is what stays
            until = key_start
        return spans

    def read(self) -> tuple[Value, int]:
        """Read the value; return it and where it ends.

        Held in local variables and one loop because this is the time that loading a large torrent takes.
        """
        data = self._data
        size = len(data)
        find = data.find
        longest = self._limits.string_length
        depth = self._limits.depth
        digits_limit = self._limits.integer_digits
        outer: list[tuple[Any, bytes | None, bytes | None]] = []  # what is open around `current`, with its keys
        current: Any = None  # the innermost open list or dictionary
        in_dict = False
        key: bytes | None = None  # the key whose value is due, None where a key is due
        last_key: bytes | None = None
        value: Any
        pos = 0
        for _ in repeat(None, self._limits.items):
            if pos >= size:
                raise BencodeError(f"the input ends at byte {pos} inside a value", pos)
            head = data[pos]
            if _DIGIT_0 <= head <= _DIGIT_9:
                colon = find(_COLON, pos, pos + _MAX_LENGTH_DIGITS + 1)
                digits = data[pos:colon]
                if colon < 0 or not digits.isdigit():
                    raise BencodeError(f"string at byte {pos} without a length", pos)
                if head == _DIGIT_0 and colon > pos + 1:
                    self._forgive(f"string length with a leading zero at byte {pos}", pos)
                length = int(digits)
                start = colon + 1
                end = start + length
                if end > size:
                    raise BencodeError(f"string of {length} bytes at byte {pos}, {size - start} are there", pos)
                if length > longest:
                    raise BencodeError(f"string of {length} bytes at byte {pos}, at most {longest} are read", pos)
                value = data[start:end]
                if in_dict and key is None:
                    if not outer:
                        self._key_marks.append((value, pos, end))
                    if last_key is not None and value <= last_key:
                        what = "repeated" if value in current else "out of order"
                        self._forgive(f"dictionary key {value[:50]!r} {what} at byte {pos}", pos)
                    key = last_key = value
                    pos = end
                    continue
                pos = end
            elif head == _END:
                if current is None or key is not None:
                    raise BencodeError(f"end mark at byte {pos} where a value is due", pos)
                pos += 1
                value = current
                if not outer:
                    return value, pos
                current, key, last_key = outer.pop()
                in_dict = key is not None
            elif in_dict and key is None:
                raise BencodeError(f"{data[pos : pos + 1]!r} at byte {pos} where a dictionary key is due", pos)
            elif head == _INTEGER:
                end = find(_END, pos + 1, pos + digits_limit + 3)
                digits = data[pos + 1 : end] if end > 0 else b""
                plain = digits[1:] if digits[:1] == b"-" else digits
                if not plain.isdigit() or len(plain) > digits_limit:
                    raise BencodeError(f"integer at byte {pos} that is not 1 to {digits_limit} digits", pos)
                value = int(digits)
                if plain[0] == _DIGIT_0 and len(digits) > 1:
                    self._forgive(f"integer with a leading zero, or -0, at byte {pos}", pos)
                pos = end + 1
            elif head in (_LIST, _DICT):
                if current is not None:
                    outer.append((current, key, last_key))
                if len(outer) >= depth:
                    raise BencodeError(f"nested more than {depth} deep at byte {pos}", pos)
                in_dict = head == _DICT
                current = {} if in_dict else []
                key = last_key = None
                pos += 1
                continue
            else:
                raise BencodeError(f"{data[pos : pos + 1]!r} at byte {pos} where a value is due", pos)

            if key is not None:
                if key not in current:
                    current[key] = value
                key = None
            elif current is not None:
                current.append(value)
            else:
                return value, pos
        raise BencodeError(f"more than {self._limits.items} items before byte {pos}", pos)

    def _forgive(self, mistake: str, offset: int) -> None:
        if not self._lenient:
            raise BencodeError(mistake, offset)
        if len(self.warnings) < _MAX_WARNINGS:
            self.warnings.append(mistake)
