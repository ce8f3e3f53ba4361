"""Who we say we are: one profile for everything that peers, trackers and routers see of us.

BEP 20 (peer ids that name a client), BEP 10 (`v` of the extended handshake), BEP 3 (User-Agent towards trackers).
Private trackers admit clients by list and compare the three, so that they are changed together or not at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from anabranch.model import VERSION, InputRefused

RANDOM_BYTES = 20  # that a peer id is made of; where a prefix names the client, 12 of them are used
_ALPHABET = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_.!~*()"  # what needs no escape in a URL
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"  # of a version in a prefix, as Azureus had them


@dataclass(frozen=True, slots=True)
class Identity:
    """What we call ourselves. The defaults are those of Deluge 2.1.1.

    Args:
        peer_id_prefix: 8 printable bytes, "-XXNNNN-" by custom; b"" for a peer id that names no client.
        user_agent: Header of every HTTP request: trackers, web seeds, fetched .torrent files; "" for no such header.
        extended_version: `v` in the extended handshake; "" for none.
        upnp_description: How a router lists our port mapping.

    Raises:
        InputRefused: a prefix of another length, or a text that would break a header.
    """

    peer_id_prefix: bytes = b"-DE211s-"
    user_agent: str = "Deluge/2.1.1 libtorrent/1.2.19.0"
    extended_version: str = "Deluge 2.1.1"
    upnp_description: str = "Deluge 2.1.1"

    def __post_init__(self) -> None:
        if len(self.peer_id_prefix) not in (0, 8) or not all(0x20 < byte < 0x7F for byte in self.peer_id_prefix):
            raise InputRefused(f"a peer id starts with 8 printable bytes, or none, not {self.peer_id_prefix!r}")
        for name in ("user_agent", "extended_version", "upnp_description"):
            text = getattr(self, name)
            if not (text.isascii() and text.isprintable()) or text != text.strip():
                raise InputRefused(f"{name} is printable ASCII on one line, without spaces around it, not {text!r}")

    def peer_id(self, random: bytes) -> bytes:
        """The 20 bytes that name one running client, made of as many random ones."""
        if len(random) != RANDOM_BYTES:
            raise ValueError(f"a peer id takes {RANDOM_BYTES} random bytes, not {len(random)}")
        drawn = bytes(_ALPHABET[byte % len(_ALPHABET)] for byte in random)
        return self.peer_id_prefix + drawn[len(self.peer_id_prefix) :]


def _own(version: str) -> Identity:
    """Our own name: "1.2.10" is "12A0" in the prefix, where each number of a version has one place."""
    digits = "".join(_DIGITS[min(int(number), len(_DIGITS) - 1)] for number in version.split("."))
    name = f"anabranch {version}"
    return Identity(f"-AB{digits:0<4.4}-".encode(), f"anabranch/{version}", name, name)


DELUGE = Identity()
ANABRANCH = _own(VERSION)
# Nothing of our own, and no version. As libtorrent 2.1.1 in its anonymous mode, trackers are told the name of curl:
# several turn away who sends no User-Agent (arvidn/libtorrent#6748), and so one is like the others who hide.
ANONYMOUS = Identity(b"", "curl/7.81.0", "", "port mapping")

IDENTITIES: Mapping[str, Identity] = MappingProxyType(
    {"deluge": DELUGE, "anabranch": ANABRANCH, "anonymous": ANONYMOUS}
)


def identity_named(name: str) -> Identity:
    """A profile that has a name: "deluge", "anabranch" or "anonymous". Raises InputRefused for others."""
    try:
        return IDENTITIES[name]
    except KeyError:
        raise InputRefused(f"an identity is {', '.join(IDENTITIES)} or one of your own, not {name!r}") from None
