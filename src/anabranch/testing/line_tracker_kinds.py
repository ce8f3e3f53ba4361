"""Every way in which a tracker cannot be spoken with (its port, TLS, name), and what a client should tell of it."""

from __future__ import annotations

from collections.abc import Generator, Mapping

from anabranch.tracker import ErrorType

from .http_tracker_scripts import DIGITS, whole
from .scene import Hear, Pause, Reset
from .tracker_talk import FOREVER, Line, LineScript, LineStep, Nowhere, OverTcp, OverTls, Shut, TrackerKind

_LATE = ErrorType.TIMEOUT
_FAILURE = ErrorType.TRACKER_FAILURE
_NETWORK = ErrorType.NETWORK_ERROR
_ALERT = b"\x15\x03\x03\x00\x02\x02"  # a TLS record that ends the handshake; its last byte says why (RFC 8446, 6)

Steps = Generator[LineStep, None, None]


def greeting(words: bytes, *, stays: bool = False) -> LineScript:
    """Who speaks first."""

    def script(line: Line) -> Steps:
        yield words
        yield Pause(FOREVER if stays else 0.05)

    return script


def hearing(reply: bytes, *, stays: bool = False, reset: bool = False) -> LineScript:
    """Who waits for the first words and answers all with that."""

    def script(line: Line) -> Steps:
        while not line.heard:
            yield Hear(FOREVER)
        if reply:
            yield reply
        if stays:
            yield Pause(FOREVER)
        if reset:
            yield Reset()

    return script


def _resets_at_once(line: Line) -> Steps:
    yield Reset()


def _ends_at_once(line: Line) -> Steps:
    yield from ()


def _silent(line: Line) -> Steps:
    yield Pause(FOREVER)


def _tcp(
    about: str, script: LineScript, error_type: ErrorType, words: str = "", *, scheme: str = "http"
) -> TrackerKind:
    return TrackerKind(about, OverTcp(script, scheme), error_type, words)


def _nowhere(about: str, url: str, error_type: ErrorType, words: str = "") -> TrackerKind:
    return TrackerKind(about, Nowhere(url), error_type, words)


_PORTS = {
    "shut": TrackerKind("a port where nobody listens", Shut(), _NETWORK, "refused"),
    "full": TrackerKind("a port whose queue is full", Shut(full=True), _LATE),
    "shut-tls": TrackerKind("a port where nobody listens, for TLS", Shut("https"), _NETWORK, "refused"),
    "udp-shut": TrackerKind("a port where nobody listens, for UDP", Shut("udp"), _NETWORK, "refused"),
    "ws-shut": TrackerKind("a port where nobody listens, for a WebSocket", Shut("ws"), _NETWORK, "refused"),
    "ws-full": TrackerKind("a port whose queue is full, for a WebSocket", Shut("ws", full=True), _LATE),
    "deaf": _tcp("accepts and never says anything", _silent, _LATE, "no answer"),
    "ends-at-once": _tcp("accepts and ends the connection", _ends_at_once, _NETWORK),
    "resets-at-once": _tcp("accepts and resets the connection", _resets_at_once, _NETWORK),
    "mail-server": _tcp("greets as a mail server", greeting(b"220 mail.example ESMTP ready\r\n"), _FAILURE, "http"),
    "ssh-server": _tcp("greets as an SSH server", greeting(b"SSH-2.0-OpenSSH_9.6\r\n"), _FAILURE, "http"),
    "mail-server-stays": _tcp("greets and waits", greeting(b"220 mail.example\r\n", stays=True), _FAILURE, "http"),
    "peer": _tcp("is a peer, not a tracker", hearing(b"\x13BitTorrent protocol" + bytes(48)), _FAILURE),
    "tls-for-http": _tcp("speaks TLS where nobody does", hearing(_ALERT + b"\x0a"), _FAILURE),
}

_TLS = {
    "tls-honest": TrackerKind("is honest, and proves who it is", OverTls("honest")),
    "tls-self-signed": TrackerKind("has signed for itself", OverTls("self-signed"), _NETWORK, "certificate"),
    "tls-unknown": TrackerKind("is signed by nobody knows whom", OverTls("unknown"), _NETWORK, "certificate"),
    "tls-expired": TrackerKind("has a certificate of last year", OverTls("expired"), _NETWORK, "expired"),
    "tls-not-yet": TrackerKind("has a certificate of next year", OverTls("not-yet"), _NETWORK, "not valid yet"),
    "tls-wrong-name": TrackerKind("is somebody else", OverTls("wrong-name"), _NETWORK, "certificate"),
    "tls-old": TrackerKind("speaks TLS 1.0 and nothing newer", OverTls("old"), _NETWORK, "secure"),
    "tls-odd-cipher": TrackerKind("speaks a cipher that nobody speaks", OverTls("odd-cipher"), _NETWORK, "secure"),
    "tls-wants-ours": TrackerKind("wants a certificate of the client's", OverTls("wants-ours"), _NETWORK),
    "tls-none": _tcp("plain HTTP where TLS should be", hearing(whole(DIGITS)), _NETWORK, "secure", scheme="https"),
    "tls-noise": _tcp("noise where TLS should be", hearing(bytes(range(256)) * 9), _NETWORK, "secure", scheme="https"),
    "tls-alert": _tcp("refuses to shake hands", hearing(_ALERT + b"\x28"), _NETWORK, "secure", scheme="https"),
    "tls-name-unknown": _tcp("knows no such name", hearing(_ALERT + b"\x70"), _NETWORK, "secure", scheme="https"),
    "tls-ends": _tcp("ends the connection in the handshake", hearing(b""), _NETWORK, scheme="https"),
    "tls-resets": _tcp("resets it in the handshake", hearing(b"", reset=True), _NETWORK, scheme="https"),
    "tls-half": _tcp(
        "half a record, and then nothing", hearing(b"\x16\x03\x03\x40\x00", stays=True), _LATE, scheme="https"
    ),
    "tls-silent": _tcp("never shakes hands", hearing(b"", stays=True), _LATE, "no answer", scheme="https"),
    "ws-tls-none": _tcp("plain HTTP where TLS should be", hearing(whole(DIGITS)), _NETWORK, scheme="wss"),
    "ws-tls-silent": _tcp("never shakes hands", hearing(b"", stays=True), _LATE, scheme="wss"),
}

_NOT_FOUND = ErrorType.TRACKER_NOT_FOUND
_UNKNOWN_NAME = ErrorType.DNS_ERROR
_NAMES = {
    "no-name": _nowhere("a name that is none", "http://tracker.invalid/announce", _UNKNOWN_NAME),
    "udp-no-name": _nowhere("a name that is none", "udp://tracker.invalid:6969/announce", _UNKNOWN_NAME),
    "ws-no-name": _nowhere("a name that is none", "wss://tracker.invalid/announce", _UNKNOWN_NAME),
    "long-name": _nowhere("a name that is too long", f"http://{'a' * 64}.example/announce", _NOT_FOUND, "host"),
    "no-host": _nowhere("a URL without a host", "http:///announce", _NOT_FOUND, "host"),
    "no-url": _nowhere("what is no URL", "tracker.example.org", _NOT_FOUND, "url"),
    "no-port": _nowhere("UDP without a port", "udp://192.0.2.1/announce", _NOT_FOUND, "port"),
    "port-0": _nowhere("a port that is none", "http://192.0.2.1:0/announce", _NOT_FOUND, "port"),
    "port-huge": _nowhere("a port that is none", "http://192.0.2.1:99999/announce", _NOT_FOUND, "port"),
    "ftp": _nowhere("another scheme", "ftp://192.0.2.1/announce", _NOT_FOUND, "ftp"),
    "long-url": _nowhere("a URL of 20,000 letters", f"http://192.0.2.1/announce/{'x' * 20_000}", _NOT_FOUND, "longer"),
    "multicast": _nowhere("an address of many", "http://224.0.0.1/announce", _NETWORK, "224.0.0.1"),
    "nobody": _nowhere("an address of nobody", "http://0.0.0.0:8080/announce", _NETWORK, "0.0.0.0"),
    "cloud": _nowhere("where clouds keep secrets", "http://169.254.169.254/announce", _NETWORK, "169.254"),
    "a-page": _nowhere("a page of this machine", "http://127.0.0.1:9/reboot?now=1", _NETWORK, "this machine"),
    "ws-cloud": _nowhere("where clouds keep secrets", "ws://169.254.169.254/announce", _NETWORK, "169.254"),
    "udp-multicast": _nowhere("an address of many", "udp://224.0.0.1:6969/announce", _NETWORK, "224.0.0.1"),
}

LINE_KINDS: Mapping[str, TrackerKind] = {**_PORTS, **_TLS, **_NAMES}
