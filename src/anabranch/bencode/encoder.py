"""Values to bencode, in the one canonical spelling.

Source: BEP 3 ("bencoding"): dictionary keys are sorted as raw bytes. What `decode` would refuse for its depth or
digits is refused here too, so that a list inside itself ends.
"""

from __future__ import annotations

from collections.abc import Iterator

from .values import LIMITS, BencodeError

_TOO_LARGE = 10**LIMITS.integer_digits


def encode(value: object) -> bytes:
    """Encode bytes, str (as UTF-8), int, list, tuple, and dict with bytes or str keys.

    Raises:
        BencodeError: any other type (bool and None too), two keys with the same bytes, an integer or a depth over
            LIMITS, text that UTF-8 cannot say.
    """
    out: list[bytes] = []
    add = out.append
    open_iterators: list[Iterator[object]] = [iter((value,))]  # the first stands for the whole and has no end mark
    while open_iterators:
        for item in open_iterators[-1]:
            if isinstance(item, bytes):
                add(b"%d:%b" % (len(item), item))
            elif isinstance(item, str):
                text = _utf8(item)
                add(b"%d:%b" % (len(text), text))
            elif isinstance(item, int) and not isinstance(item, bool):
                if not -_TOO_LARGE < item < _TOO_LARGE:
                    raise BencodeError(f"integer of more than {LIMITS.integer_digits} digits")
                add(b"i%de" % item)
            elif isinstance(item, dict):
                add(b"d")
                open_iterators.append(_keys_and_values(item))
                break
            elif isinstance(item, list | tuple):
                add(b"l")
                open_iterators.append(iter(item))
                break
            elif isinstance(item, bytearray | memoryview):
                raw = bytes(item)
                add(b"%d:%b" % (len(raw), raw))
            else:
                raise BencodeError(f"{type(item).__name__} has no bencode")
        else:
            open_iterators.pop()
            if open_iterators:
                add(b"e")
        if len(open_iterators) > LIMITS.depth + 1:
            raise BencodeError(f"nested more than {LIMITS.depth} deep")
    return b"".join(out)


def _keys_and_values(mapping: dict[object, object]) -> Iterator[object]:
    by_bytes: dict[bytes, object] = {}
    for key, value in mapping.items():
        if not isinstance(key, bytes | str):
            raise BencodeError(f"{type(key).__name__} as a dictionary key")
        raw = _utf8(key) if isinstance(key, str) else key
        if raw in by_bytes:
            raise BencodeError(f"two dictionary keys are {raw!r}")
        by_bytes[raw] = value
    return (part for raw in sorted(by_bytes) for part in (raw, by_bytes[raw]))


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as bad:
        raise BencodeError(f"text that is not Unicode: {text!r}") from bad
