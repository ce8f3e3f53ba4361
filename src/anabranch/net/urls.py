"""URLs as trackers and web seeds have them: taken apart without changing a byte, and told without their secrets.

Source: RFC 3986, as far as needed. Path and query hold passkeys, which servers compare byte by byte: what other
libraries call normal form (%2f as /, %AA for %aa) would make another key of them.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import quote, unquote_to_bytes, urljoin

from anabranch.model import Address, InputRefused, canonical_host

MAX_URL = 8 * 1024  # bytes; servers refuse longer ones
_DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_SHAPE = re.compile(r"([a-z][a-z0-9+.-]*)://([^/?#]*)([^#]*)(?:#.*)?", re.IGNORECASE | re.ASCII | re.DOTALL)
_PORT = re.compile(r"[0-9]{1,5}", re.ASCII)
_VISIBLE = "".join(map(chr, range(0x21, 0x7F)))  # stays as it is; all else is percent-encoded
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


def is_forbidden(address: Address) -> bool:
    """Whether no URL may lead there: link-local (where clouds keep their secrets), multicast, unspecified."""
    ip = ip_address(address.host)
    return ip.is_link_local or ip.is_multicast or ip.is_unspecified


def is_public(address: Address) -> bool:
    """Whether the address is in the Internet, not in somebody's own network or machine."""
    return ip_address(address.host).is_global


def without_secrets(text: str, url: Url) -> str:
    """The text with all that may be a passkey of the URL's taken out: servers repeat it in what they answer."""
    for secret in sorted({url.target, url.login, *_LIKE_A_KEY.findall(url.target)}, key=len, reverse=True):
        if len(secret) > 1:
            text = text.replace(secret, "***")
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
