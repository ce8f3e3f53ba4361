"""What a bencoded dictionary should hold, taken out by kind, or refused in words.

Source: BEP 3 for the kinds; the ".utf-8" keys are an old custom of clients that wrote names in their system's encoding.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from anabranch.bencode import Value

from .errors import MetainfoError
from .paths import is_decoded, text_of

Table = Mapping[bytes, Value]
_Kind = TypeVar("_Kind")

_WORDS: Mapping[type, str] = {int: "a number", bytes: "a string", list: "a list", dict: "a dictionary"}


def word_for(value: Value) -> str:
    """The kind of a value, for a person."""
    return _WORDS[type(value)]


def due(table: Table, key: bytes, kind: type[_Kind], where: object) -> _Kind:
    """The value of a key that must be there.

    Raises:
        MetainfoError: it is not, or it is of another kind; *where*, as text, begins the sentence.
    """
    value = table.get(key)
    if value is None:
        raise MetainfoError(f"{where} has no {key.decode()!r}")
    if not isinstance(value, kind):
        raise MetainfoError(f"{where} has {word_for(value)} as {key.decode()!r}, {_WORDS[kind]} is due")
    return value


def text_or_empty(table: Table, key: bytes) -> str:
    """A text for people (comment, creator); what is not UTF-8 in it is replaced."""
    for name in (key + b".utf-8", key):
        value = table.get(name)
        if isinstance(value, bytes):
            return value.decode("utf-8", "replace")
    return ""


def name_text(table: Table) -> str | None:
    """The torrent's name as it stands there, or None."""
    for key in (b"name.utf-8", b"name"):
        value = table.get(key)
        if isinstance(value, bytes):
            text = text_of(value)
            if key == b"name" or is_decoded(text):
                return text
    return None


def path_texts(table: Table) -> tuple[str, ...]:
    """The components of a file's path as they stand there; empty where there is no path."""
    for key in (b"path.utf-8", b"path"):
        value = table.get(key)
        if isinstance(value, list):
            texts = tuple([text_of(part) for part in value if isinstance(part, bytes)])
            if len(texts) == len(value) and (key == b"path" or (texts and all(map(is_decoded, texts)))):
                return texts
    return ()
