"""URLs as trackers and web seeds have them: taken apart unchanged, told without their secrets, and judged.

Source: RFC 3986, as far as needed. Path and query hold passkeys, which servers compare byte by byte: what other
libraries call normal form (%2f as /, %AA for %aa) would make another key of them.
Whoever makes a torrent writes URLs that we then ask from inside the user's network, where doors are open that the maker
does not reach (server-side request forgery): what such a URL may lead to is the rule of libtorrent 2.1.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import quote, unquote_to_bytes, urljoin

from anabranch.model import Address, InputRefused, canonical_host

MAX_URL = 8 * 1024  # bytes; servers refuse longer ones
_DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_SHAPE = re.compile(r"([a-z][a-z0-9+.-]*)://([^/?#]*)([^#]*)(?:#.*)?", re.IGNORECASE | re.ASCII | re.DOTALL)
_NUMBER = re.compile(r"0x[0-9a-f]{1,8}|0[0-7]{0,11}|[1-9][0-9]{0,9}", re.ASCII)
_PORT = re.compile(r"[0-9]{1,5}", re.ASCII)
_VISIBLE = "".join(map(chr, range(0x21, 0x7F)))  # stays as it is; all else is percent-encoded
_TRANSLATED = IPv6Network("64:ff9b::/96")  # RFC 6052: an IPv4 address behind a translator, in the last four bytes
_GLOBAL = IPv6Network("2000::/3")  # RFC 4291, 2.4: all that is given out; the rest is local, translated, or to come
_CLOUD_KEYS = frozenset({"100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254"})  # besides 169.254.*
_NO_SECRETS = frozenset({"/announce", "/announce.php", "/scrape"})  # whole targets of trackers that know everybody
_LIKE_A_KEY = re.compile(r"(?=[^/?&=;]*[0-9])[^/?&=;]{8,}|[^/?&=;]{16,}")


@dataclass(frozen=True, slots=True)
class Url:
    """A URL taken apart. Its str() is fit for logs and errors: no path, no query, no password.

    Args:
        scheme: In lower case.
        host: A name in ASCII, or an IP address without brackets.
        port: As given, or the scheme's.
        target: Path and query, byte for byte, from the first "/" on; "/" where there is none.
        login: "user:password", or empty.
    """

    scheme: str
    host: str
    port: int
    target: str = field(repr=False)
    login: str = field(repr=False, default="")

    @property
    def authority(self) -> str:
        """Host and port as a Host header has them: no port where it is the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS.get(self.scheme) else f"{host}:{self.port}"

    @property
    def whole(self) -> str:
        """The URL itself, with its secrets but for the login."""
        return f"{self.scheme}://{self.authority}{self.target}"

    def at(self, address: Address) -> str:
        """The URL with an IP address in the place of its host."""
        return f"{self.scheme}://{address}{self.target}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"


def parse_url(text: str, schemes: Collection[str]) -> Url:
    """Take a URL apart.

    Args:
        text: As it stands in a torrent or came from a person; spaces around it are no part of it.
        schemes: Which ones may be.

    Raises:
        InputRefused: no URL, another scheme, no host, no usable port. The text does not repeat the URL.
    """
    text = text.strip()
    found = _SHAPE.fullmatch(text)
    if found is None:
        raise InputRefused("not a URL of the form SCHEME://HOST/PATH")
    scheme, authority, rest = found[1].lower(), found[2], found[3]
    if scheme not in schemes:
        raise InputRefused(f"URLs of the scheme {scheme[:20]!r} are not supported here, only {', '.join(schemes)}")
    login, _, place = authority.rpartition("@")
    host, port = _host_and_port(place, _DEFAULT_PORTS.get(scheme, 0))
    if not port:
        raise InputRefused(f"the URL {scheme}://{host} has no port")
    target = quote(rest if rest.startswith("/") else "/" + rest, safe=_VISIBLE)
    if len(target) > MAX_URL:
        raise InputRefused(f"the URL is longer than {MAX_URL} bytes")
    return Url(scheme, host, port, target, unquote_to_bytes(login).decode("utf-8", "replace"))


def redirected(url: Url, location: str) -> Url:
    """Where a server's Location header sends us.

    Raises:
        InputRefused: nowhere: no URL, not HTTP, or from a secure connection to one that everybody can read.
    """
    try:
        joined = urljoin(url.whole, location.strip())
    except ValueError as bad:  # its own opinion of brackets
        raise InputRefused("not a URL") from bad
    following = parse_url(joined, ("http", "https"))
    if url.scheme == "https" and following.scheme != "https":
        raise InputRefused("from a secure connection to an open one")
    return following


class Use(Enum):
    """What a URL is for: it decides what may be asked inside somebody's own network."""

    TRACKER = auto()
    WEB_SEED = auto()
    METADATA = auto()  # a torrent file, a list, a feed


def why_not_asked(url: Url, address: Address, use: Use, *, from_outside: bool = False, trusted: bool = False) -> str:
    """Why a URL may not lead to this address, in words; empty where it may.

    An address in the Internet may be asked for anything. In the user's own machine or network, a tracker is asked
    under /announce and /scrape only (over a WebSocket also under /, without a query), a web seed only by a URL without
    a query: no page that does something for whoever opens it looks like that. Some addresses are for nobody: see
    is_forbidden().

    Args:
        url: As it was named, before we added anything to its query.
        address: Of its host.
        use: What for.
        from_outside: A server in the Internet sent us there.
        trusted: The user named the URL, or switched these rules off; is no excuse for what comes from outside.
    """
    if is_forbidden(address):
        return f"{address.host} is an address that no URL may lead to"
    if is_public(address):
        return ""
    where = f"{address.host} is {'this machine' if _meant(address).is_loopback else 'in a private network'}"
    if from_outside:
        return f"{where}, and a server outside sent us there"
    if trusted:
        return ""
    if use is Use.TRACKER:
        return "" if _is_of_a_tracker(url) else f"{where}: of trackers only /announce is asked there"
    return f"{where}: no URL with a query is asked there" if "?" in url.target else ""


def address_in(url: Url) -> Address | None:
    """The address that the URL's host is itself, whoever looks names up; None where it is a name."""
    host = url.host.rstrip(".")
    if host == "localhost" or host.endswith(".localhost"):  # RFC 6761, 6.3
        return Address("127.0.0.1", url.port)
    try:
        return Address(canonical_host(host), url.port)
    except ValueError:
        number = _as_number(host)
    return None if number is None else Address(str(IPv4Address(number)), url.port)


def _as_number(host: str) -> int | None:
    """An IPv4 address as systems read it besides its four decimals: 2130706433, 0x7f.1, 0177.0.0.1; None for others."""
    parts = host.split(".")
    if len(parts) > 4 or not all(map(_NUMBER.fullmatch, parts)):
        return None
    *heads, last = [int(part, 16 if part[:2] == "0x" else 8 if part[0] == "0" else 10) for part in parts]
    if any(head > 255 for head in heads) or last >= 1 << 8 * (5 - len(parts)):
        return None
    return sum(head << 8 * (3 - place) for place, head in enumerate(heads)) + last


@lru_cache(1024)  # a range of a web seed is asked for again and again
def is_forbidden(address: Address) -> bool:
    """Whether no URL may lead there: link-local and where else clouds keep their secrets, multicast, unspecified."""
    ip = _meant(address)
    nobody = ip.is_link_local or ip.is_multicast or ip.is_unspecified or str(ip) in _CLOUD_KEYS
    return nobody or ip == IPv4Address("255.255.255.255") or (ip.version == 4 and ip.packed[0] == 0)


@lru_cache(1024)
def is_public(address: Address) -> bool:
    """Whether the address is in the Internet, not in somebody's own network or machine."""
    ip = _meant(address)
    return ip.is_global and (ip.version == 4 or ip in _GLOBAL)


def _meant(address: Address) -> IPv4Address | IPv6Address:
    """Where it leads: an IPv4 address in IPv6 clothes (mapped, 6to4, behind a translator) is the IPv4 address."""
    ip = ip_address(address.host)
    if isinstance(ip, IPv6Address):
        last = IPv4Address(ip.packed[12:])
        if ip in _TRANSLATED or (not any(ip.packed[:12]) and int(last) > 1):  # RFC 4291 2.5.5.1: compatible, long dead
            return last
        return ip.ipv4_mapped or ip.sixtofour or ip
    return ip


def _is_of_a_tracker(url: Url) -> bool:
    if url.scheme in ("ws", "wss") and url.target == "/":  # as they mostly are; the front page does nothing to anybody
        return True
    path = unquote_to_bytes(url.target.partition("?")[0])
    return path.startswith((b"/announce", b"/scrape")) and b".." not in path and b"%" not in path


def without_secrets(text: str, url: Url) -> str:
    """The text with all that may be a passkey of the URL's taken out: servers repeat it in what they answer.

    Also where they repeat it decoded, or in other letters; and a query with its names, which would be read as words.
    """
    if not text:
        return ""
    query, keys = url.target.partition("?")[2], _LIKE_A_KEY.findall(url.target)
    plain = [unquote_to_bytes(key).decode("utf-8", "replace") for key in keys]
    password = url.login.partition(":")[2]
    password = password if len(password) > 3 else ""  # it would be found in any words
    found = {url.target, url.login, password, query if "=" in query else "", *keys, *plain}
    for secret in sorted(found, key=len, reverse=True):
        if len(secret) > 1 and secret not in _NO_SECRETS:
            text = re.sub(re.escape(secret), "***", text, flags=re.IGNORECASE)
    return text


def _host_and_port(place: str, default: int) -> tuple[str, int]:
    if place.startswith("["):
        host, bracket, rest = place[1:].partition("]")
        if not bracket or ":" not in host:
            raise InputRefused("the URL's host is no IPv6 address in brackets")
    else:
        host, colon, digits = place.partition(":")
        rest = colon + digits
    if rest in ("", ":"):
        port = default
    elif rest[0] == ":" and _PORT.fullmatch(rest[1:]) and 0 < int(rest[1:]) <= 65535:
        port = int(rest[1:])
    else:
        raise InputRefused("the URL's port is no number from 1 to 65535")
    return _ascii_host(host), port


def _ascii_host(host: str) -> str:
    try:
        return canonical_host(host)
    except ValueError:
        pass
    try:
        name = host.encode("idna").decode("ascii").lower()
    except UnicodeError:
        name = ""
    if not name or ":" in name or set(name) - set("abcdefghijklmnopqrstuvwxyz0123456789-_."):
        raise InputRefused("the URL's host is no name and no address")
    return name
