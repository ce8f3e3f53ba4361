"""Who we say we are: one profile for everything that peers, trackers and routers see of us.

BEP 20 (peer ids that name a client), BEP 10 (`v` of the extended handshake), BEP 3 (User-Agent towards trackers).
Private trackers admit clients by list and compare the three, so that they are changed together or not at all.
"""

from __future__ import annotations

from dataclasses import dataclass

from anabranch.model import InputRefused

RANDOM_BYTES = 12  # of the 20 in a peer id; the other 8 name the client
_ALPHABET = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_.!~*()"  # what needs no escape in a URL


@dataclass(frozen=True, slots=True)
class Identity:
    """What we call ourselves. The defaults are those of Deluge 2.1.1.

    Args:
        peer_id_prefix: 8 printable bytes, "-XXNNNN-" by custom.
        user_agent: Header of every HTTP request: trackers, web seeds, fetched .torrent files.
        extended_version: `v` in the extended handshake.
        upnp_description: How a router lists our port mapping.

    Raises:
        InputRefused: a prefix of another length, an empty text, or one that would break a header.
    """

    peer_id_prefix: bytes = b"-DE211s-"
    user_agent: str = "Deluge/2.1.1 libtorrent/1.2.19.0"
    extended_version: str = "Deluge 2.1.1"
    upnp_description: str = "Deluge 2.1.1"

    def __post_init__(self) -> None:
        if len(self.peer_id_prefix) != 8 or not all(0x20 < byte < 0x7F for byte in self.peer_id_prefix):
            raise InputRefused(f"a peer id starts with 8 printable bytes, not {self.peer_id_prefix!r}")
        for name in ("user_agent", "extended_version", "upnp_description"):
            text = getattr(self, name)
            if not text or not (text.isascii() and text.isprintable()):
                raise InputRefused(f"{name} is printable ASCII on one line, not {text!r}")

    def peer_id(self, random: bytes) -> bytes:
        """The 20 bytes that name one running client, made from 12 random ones."""
        if len(random) != RANDOM_BYTES:
            raise ValueError(f"a peer id takes {RANDOM_BYTES} random bytes, not {len(random)}")
        return self.peer_id_prefix + bytes(_ALPHABET[byte % len(_ALPHABET)] for byte in random)
