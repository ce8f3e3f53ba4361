"""Every way in which a tracker answers over HTTP, by its name: what it does, and what a client should tell of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from anabranch.bencode import encode
from anabranch.tracker import ErrorType

from . import http_tracker_scripts as scripts
from .http_tracker_scripts import GOOD, PEERS, answering, differing, ending_after, hanging_after, refusing, whole
from .tracker_talk import OverHttp, TrackerKind
from .web_request import WebScript
from .web_scripts import redirected

_HTTP = ErrorType.TRACKER_HTTP_ERROR
_FAILURE = ErrorType.TRACKER_FAILURE
_LATE = ErrorType.TIMEOUT
_NETWORK = ErrorType.NETWORK_ERROR
_BARRED = ErrorType.AUTHENTICATION_FAILED
_UNREGISTERED = ErrorType.TORRENT_NOT_REGISTERED
_KNOWN = {
    401: _BARRED,
    403: _BARRED,
    407: _BARRED,
    404: ErrorType.TRACKER_NOT_FOUND,
    410: ErrorType.TRACKER_NOT_FOUND,
    503: ErrorType.TRACKER_UNAVAILABLE,
}
_SHOWN_STATUSES = (
    *(204, 206, 300, 302, 304, 400, 401, 402, 403, 404, 405, 407, 408, 409, 410, 413, 414, 418, 421, 429, 444, 451),
    *(499, 500, 501, 502, 503, 504, 505, 508, 509, 520, 521, 522, 523, 524, 525, 526, 530, 599),
)


def status_error(status: int) -> ErrorType:
    """What a status other than 200 tells, where the body says nothing of use."""
    return _KNOWN.get(status, _HTTP)


def _kind(about: str, script: WebScript, error_type: ErrorType | None = None, words: str = "") -> TrackerKind:
    return TrackerKind(about, OverHttp(script), error_type, words)


def _statuses() -> Iterator[tuple[str, TrackerKind]]:
    page = scripts.DIGITS
    for status in _SHOWN_STATUSES:
        told = status_error(status)
        yield f"status-{status}", _kind(f"always {status}", answering(page, status=status), told, str(status))
    precise, vague = "torrent not registered", "404 times no: see page 503"
    for status in (400, 403, 404, 500, 503):
        script, shown = refusing(precise, status=status), f"{status}, and a failure reason that says it"
        yield f"status-{status}-reason", _kind(shown, script, _UNREGISTERED, precise)
        script, shown = refusing(vague, status=status), f"{status}, and a failure reason of many numbers"
        yield f"status-{status}-vague", _kind(shown, script, status_error(status), f"answered {status}")
    yield "status-0", _kind("a status of 000", ending_after(b"HTTP/1.1 000 No\r\n\r\n"), _FAILURE)
    yield "status-1000", _kind("a status of four digits", ending_after(b"HTTP/1.1 1000 No\r\n\r\n"), _FAILURE)
    yield "status-100-for-ever", _kind("goes on with 100 and nothing else", scripts.repeating(100), _LATE)
    yield "status-102-hangs", _kind("102, and then nothing", hanging_after(b"HTTP/1.1 102 Wait\r\n\r\n"), _LATE)


_REASONS: Mapping[str, tuple[object, ErrorType, str]] = {
    "unregistered": ("unregistered torrent", _UNREGISTERED, "unregistered torrent"),
    "unregistered-capital": ("Unregistered torrent", _UNREGISTERED, "unregistered torrent"),
    "unregistered-upper": ("TORRENT NOT REGISTERED WITH THIS TRACKER", _UNREGISTERED, "not registered"),
    "not-found": ("Torrent not found", _UNREGISTERED, "not found"),
    "infohash": ("InfoHash not found.", _UNREGISTERED, "infohash"),
    "deleted": ("Torrent has been deleted.", _UNREGISTERED, "deleted"),
    "whitelist": ("Requested download is not authorized for use with this tracker", _UNREGISTERED, "requested"),
    "passkey": ("Passkey not found", _BARRED, "passkey"),
    "passkey-invalid": ("passkey invalid", _BARRED, "passkey"),
    "banned": ("Your account has been BANNED", _BARRED, "banned"),
    "unauthorized": ("Unauthorized", _BARRED, "unauthorized"),
    "client": ("Your client is not on the whitelist", _BARRED, "client"),
    "other": ("Sorry, the tracker is in a bad mood", _FAILURE, "bad mood"),
    "timeout-word": ("timeout: 404 while reading database 503", _FAILURE, "database"),
    "chinese": ("种子未注册", _FAILURE, "种子未注册"),
    "german": ("Der Torrent ist hier nicht bekannt", _FAILURE, "nicht bekannt"),
    "latin-1": ("Torrent supprimé".encode("latin-1"), _FAILURE, "torrent supprim"),
    "escapes": ("\x1b[2J\x1b[31mBoo\x07\r\nlog line\x00\u202e", _FAILURE, "boo"),
    "lines": ("one\ntwo\r\nthree\u2028four\x85five", _FAILURE, "one two three four five"),
    "html": ("<script>alert('404')</script>", _FAILURE, "script"),
    "empty": ("", _FAILURE, "reason"),
    "number": (404, _FAILURE, "reason"),
    "list": ([b"unregistered"], _FAILURE, "reason"),
    "dictionary": ({b"passkey": b"unregistered"}, _FAILURE, "reason"),
}


def _reasons() -> Iterator[tuple[str, TrackerKind]]:
    for name, (reason, told, words) in _REASONS.items():
        shown = f"refuses: {str(reason)[:60]!r}" if isinstance(reason, str) else f"a failure reason that is a {name}"
        yield f"reason-{name}", _kind(shown, refusing(reason), told, words)
    beside = differing(failure_reason=b"not now")
    yield "reason-and-peers", _kind("refuses, and gives peers", beside, _FAILURE, "not now")
    yield "reason-retry", _kind("refuses, never to come again", refusing("gone", retry_in="never"), _FAILURE, "gone")
    long = _kind("three megabytes of reasons", scripts.refusing_at_length(3_000_000), _UNREGISTERED, "unregistered")
    yield "reason-long", long
    yield "reason-huge", _kind("ten megabytes of reasons", scripts.refusing_at_length(10_000_000), _FAILURE, "longer")


_ECHOES = {
    "echo-reason": _kind("repeats the URL in its reason", scripts.echoing_reason, _FAILURE, "sorry"),
    "echo-capitals": _kind("repeats the query in capitals", scripts.echoing_capitals, _FAILURE, "bad query"),
    "echo-status": _kind("repeats the URL in its status", scripts.echoing_status, ErrorType.TRACKER_NOT_FOUND, "404"),
    "echo-page": _kind("repeats the URL, and nothing else", scripts.echoing_page, _FAILURE),
    "echo-redirect": _kind("repeats the URL where it redirects", redirected("ftp://{host}{target}"), _FAILURE),
    "echo-warning": _kind("repeats the URL in a warning", scripts.echoing_warning),
}
_GOOD = whole(encode(GOOD))
_HEAD, _, _BODY = _GOOD.partition(b"\r\n\r\n")
_HEAD += b"\r\n\r\n"


def _pieces_of_it() -> Iterator[tuple[str, TrackerKind]]:
    """An honest reply, up to some point."""
    half_head, half_body = _HEAD[: len(_HEAD) // 2], _HEAD + _BODY[: len(_BODY) // 2]
    points = {
        "status-line": (b"HTTP/1.", "half a status line"),
        "head": (half_head, "half a head"),
        "body": (_HEAD, "a head"),
        "half-body": (half_body, "half a body"),
    }
    yield "silent", _kind("takes the question and says nothing", scripts.silent, _LATE, "no answer")
    yield "drips", _kind("a byte each second", scripts.dripping, _LATE, "no answer")
    yield "hangs-up", _kind("ends the connection without a word", ending_after(b""), _NETWORK)
    yield "resets", _kind("resets the connection without a word", ending_after(b"", reset=True), _NETWORK)
    for name, (sent, words) in points.items():
        yield f"hangs-after-{name}", _kind(f"{words}, and then nothing", hanging_after(sent), _LATE, "no answer")
        ends = f"{words}, and ends the connection"
        yield f"ends-after-{name}", _kind(ends, ending_after(sent), _FAILURE)
        resets = f"{words}, and resets the connection"
        yield f"resets-after-{name}", _kind(resets, ending_after(sent, reset=True), _NETWORK)


def _length(length: str) -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n".encode() + _BODY


def _sizes() -> Iterator[tuple[str, TrackerKind]]:
    size = len(_BODY)
    yield "length-short", _kind("a length that is too short", ending_after(_length(str(size - 5))), _FAILURE)
    yield "length-long", _kind("a length that is too long", hanging_after(_length(str(size + 5))), _LATE)
    yield "length-negative", _kind("a length below nothing", ending_after(_length("-1")), _FAILURE)
    yield "length-words", _kind("a length in words", ending_after(_length("a few")), _FAILURE)
    huge = hanging_after(_length("99999999999"))
    yield "length-huge", _kind("a body of 100 GB, as it says", huge, _FAILURE, "longer")
    yield "length-beyond", _kind("a length of 40 digits", ending_after(_length("9" * 40)), _FAILURE)
    yield "endless", _kind("a body without end", scripts.endless, _FAILURE, "longer")
    yield "bomb-gzip", _kind("16 MiB in 16 KiB", scripts.bomb("gzip"), _FAILURE, "longer")
    yield "bomb-deflate", _kind("16 MiB in 16 KiB, otherwise", scripts.bomb("deflate"), _FAILURE, "longer")
    yield "head-huge", _kind("a megabyte of headers", scripts.of_huge_head, _FAILURE)
    cut = answering(b"\x1f\x8b\x08\x00" + bytes(20), "Content-Encoding: gzip")
    yield "gzip-broken", _kind("gzip that is broken", cut, _FAILURE)
    yield "coding-unknown", _kind("a coding that nobody asked for", answering(_BODY, "Content-Encoding: br"), _FAILURE)


def _redirects() -> Iterator[tuple[str, TrackerKind]]:
    to = {
        "loop": ("to itself", "{target}", _FAILURE, "redirects"),
        "to-a-file": ("to the client's own disk", "file:///etc/passwd", _FAILURE, "redirected"),
        "to-ftp": ("to FTP", "ftp://{host}/announce", _FAILURE, "redirected"),
        "to-udp": ("to UDP", "udp://{host}/announce", _FAILURE, "redirected"),
        "to-script": ("to a script", "javascript:alert(1)", _FAILURE, "redirected"),
        "to-no-url": ("to what is no URL", "http://[", _FAILURE, "redirected"),
        "to-no-name": ("to a name that is none", "http://nobody.invalid/announce", ErrorType.DNS_ERROR, ""),
        "to-the-cloud": ("to where clouds keep secrets", "http://169.254.169.254/announce", _NETWORK, "169.254"),
        "to-the-cloud-v6": ("to where clouds keep secrets", "http://[fe80::1]/announce", _NETWORK, "fe80"),
        "to-nobody": ("to no address", "http://0.0.0.0/announce", _NETWORK, "0.0.0.0"),
        "to-the-router": ("to a page in a private network", "http://10.99.99.99/reboot?now=1", _NETWORK, "private"),
        "to-a-page": ("to a page of this machine", "http://127.0.0.1:9/reboot?now=1", _NETWORK, "this machine"),
    }
    for name, (about, location, told, words) in to.items():
        yield f"redirects-{name}", _kind(about, redirected(location), told, words)
    bare = answering(b"", status=302)
    yield "redirects-unsaid", _kind("302 without a place to go", bare, _HTTP, "302")
    yield (
        "redirects-empty",
        _kind("302 to nothing, which is itself", answering(b"", "Location: ", status=302), _FAILURE),
    )
    yield "redirects-on-and-on", _kind("each time to another path", redirected("{target}a"), _FAILURE, "redirects")
    yield "redirects-six", _kind("six times", scripts.chain(6), _FAILURE, "redirects")
    yield "redirects-five", _kind("five times", scripts.chain(5))
    right = redirected("{server}/announce-honest", 307)
    yield "redirects-right", _kind("to another of its paths", right)


def _bodies() -> Iterator[tuple[str, TrackerKind]]:
    wrong = {
        "empty": ("nothing", b""),
        "page": ("somebody's page", b"<!DOCTYPE html><html><body>Please log in.</body></html>"),
        "json": ("JSON", b'{"interval": 1800, "peers": []}'),
        "words": ("plain words", b"Tracker is down for maintenance (503)"),
        "noise": ("noise", bytes(range(256))),
        "unterminated": ("a dictionary without end", _BODY[:-1]),
        "deep": ("a hundred thousand lists in each other", b"l" * 100_000 + b"e" * 100_000),
        "deep-inside": ("lists in each other as peers", b"d5:peers" + b"l" * 5000 + b"e" * 5000 + b"e"),
        "negative-length": ("a string of less than nothing", b"d8:intervali1e5:peers-1:e"),
        "long-string": ("a string that says it is a terabyte", b"d5:peers999999999999:xe"),
        "long-number": ("a number of a hundred thousand digits", b"d8:intervali" + b"9" * 100_000 + b"ee"),
        "list": ("a list", b"l" + _BODY + b"e"),
        "number": ("a number", b"i404e"),
        "string": ("a string", b"24:unregistered torrent 404"),
        "keys": ("numbers for keys", b"di1ei2ee"),
        "zeros": ("a megabyte of nothing", bytes(1024 * 1024)),
    }
    for name, (about, body) in wrong.items():
        yield f"body-{name}", _kind(about, answering(body), _FAILURE)


_GREAT_INTERVAL = b"d8:intervali%de5:peers12:%be" % (2**70, PEERS)
_GREAT_COUNT = b"d8:completei%de8:intervali60e5:peers12:%be" % (2**300, PEERS)


def _values() -> Iterator[tuple[str, TrackerKind]]:
    """Values that are wrong, of which a client takes what is right."""
    multicast = bytes([224, 0, 0, 1, 0x1A, 0xE1, 0, 0, 0, 0, 0x1A, 0xE1, 255, 255, 255, 255, 0x1A, 0xE1])
    values = {
        "peers-of-5-bytes": ("peers of five bytes", differing(peers=PEERS[:5])),
        "peers-and-a-half": ("a peer and a half", differing(peers=PEERS[:9])),
        "peers-without-ports": ("peers without ports", differing(peers=PEERS[:4] + b"\0\0")),
        "peers-for-nobody": ("peers where nobody can be", differing(peers=multicast)),
        "peers-number": ("a number of peers", differing(peers=5)),
        "peers-dictionary": ("peers by name", differing(peers={b"a": PEERS})),
        "peers-odd": ("peers that are anything", differing(peers=[1, b"x", [], {}, {b"ip": 1, b"port": b"x"}])),
        "peers-names": ("peers by host names", differing(peers=[{b"ip": b"evil.invalid", b"port": 80}])),
        "peers-none": ("no peers at all", differing(peers=None)),
        "peers6-odd": ("IPv6 peers of 17 bytes", differing(peers6=bytes(17))),
        "interval-0": ("come back at once", differing(interval=0)),
        "interval-negative": ("come back before", differing(interval=-1)),
        "interval-huge": ("come back in ten thousand ages of the world", answering(_GREAT_INTERVAL)),
        "interval-text": ("an interval in text", differing(interval=b"30")),
        "interval-list": ("intervals", differing(interval=[30])),
        "interval-none": ("no interval", differing(interval=None)),
        "counts-negative": ("fewer seeders than none", differing(complete=-1, incomplete=-(2**40))),
        "counts-text": ("counts in words", differing(complete=b"many", incomplete=[])),
        "counts-huge": ("more seeders than atoms", answering(_GREAT_COUNT)),
        "warning": ("a warning", differing(warning_message=b"be careful")),
        "warning-odd": ("a warning of escapes", differing(warning_message=b"\x1b[2J\r\n\xff")),
        "warning-number": ("a warning that is none", differing(warning_message=7)),
        "tracker-id-huge": ("an id of a megabyte", differing(tracker_id=b"x" * 1024 * 1024)),
        "tracker-id-odd": ("an id that breaks lines", differing(tracker_id=b"\r\nX-Evil: 1\r\n\r\n")),
        "external-ip-odd": ("an address of five bytes", differing(external_ip=b"12345")),
    }
    for name, (about, script) in values.items():
        yield name, _kind(about, script)
    yield "peers-crowd", _kind("six hundred thousand peers", scripts.a_crowd)
    yield "peers-listed-crowd", _kind("twenty thousand peers in a list", scripts.a_listed_crowd)


_UNUSUAL = {
    "honest": _kind("two peers", scripts.honest),
    "gzip": _kind("gzip, as it says", scripts.zipped),
    "sized-parts": _kind("transfer coding in sized parts", scripts.in_parts),
    "http-1.0": _kind("an old server with bare line feeds", scripts.in_lines_of_its_own),
    "early-words": _kind("provisional answers first", scripts.provisional),
    "content-type": _kind("says that it is a picture", answering(_BODY, "Content-Type: image/png")),
    "trailing": _kind("a line behind the dictionary", answering(_BODY + b"\r\n")),
    "gzip-claimed": _kind("says gzip and is not", answering(_BODY, "Content-Encoding: gzip")),
    "closes-each": _kind("a connection for each request", answering(_BODY, "Connection: close")),
    "closes-unsaid": _kind("closes connections that are kept", ending_after(_GOOD)),
}

HTTP_KINDS: Mapping[str, TrackerKind] = {
    **_UNUSUAL,
    **_ECHOES,
    **dict(_statuses()),
    **dict(_reasons()),
    **dict(_pieces_of_it()),
    **dict(_sizes()),
    **dict(_redirects()),
    **dict(_bodies()),
    **dict(_values()),
}
