"""What bencode can say, how much of it we are willing to hear, and the error for all the rest.

Source: BEP 3 ("bencoding"). The BEP sets no limits; without them a few bytes from a stranger cost unbounded memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from anabranch.model import TorrentError

Value: TypeAlias = "int | bytes | list[Value] | dict[bytes, Value]"


class BencodeError(TorrentError):
    """Bytes that are not bencode, or a value that bencode cannot say.

    Args:
        text: What was found.
        offset: Where in the input it was found, in bytes; 0 for a value that cannot be encoded.
    """

    def __init__(self, text: str, offset: int = 0) -> None:
        super().__init__(text)
        self.offset = offset


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one decoded value may be.

    Args:
        depth: Lists and dictionaries inside each other.
        items: Keys, values and ends of lists and dictionaries, counted together.
        integer_digits: Digits of one integer.
        string_length: Bytes of one string.
    """

    depth: int = 100  # libtorrent's too; real torrents nest 5 deep, BEP 52 file trees as deep as their folders
    items: int = 3_000_000  # libtorrent's too; a file of a torrent takes about 10
    integer_digits: int = 20  # 2**64 has 20
    string_length: int = 64 * 1024 * 1024  # the hashes of 3 million pieces

    def __post_init__(self) -> None:
        if self.integer_digits > 4000:  # Python itself refuses to read more than 4,300
            raise ValueError(f"integers of {self.integer_digits} digits cannot be read")


LIMITS = Limits()
