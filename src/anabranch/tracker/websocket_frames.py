"""The client's half of a WebSocket without its socket: the upgrade from HTTP/1.1, then messages in frames.

Source: RFC 6455. No extension is offered, so that a packed frame is a fault. Redirects are not followed: where a URL
leads was judged before, and a tracker in the Internet must not send us into our own network. The server's bytes come
from a stranger: lengths are believed up to MAX_MESSAGE, and of pings only the last is answered (5.5.3), so that nothing
here grows with what it sends.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable
from hashlib import sha1

from anabranch.net import Url, headers_for, request_head, without_secrets

from .faults import FaultKind, TrackerFault
from .messages import shown

MAX_MESSAGE = 256 * 1024  # bytes; an offer takes a few KiB, the numbers of 500 torrents 90
MAX_HEAD = 16 * 1024  # bytes
_KEY_END = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # 1.3: whoever knows it means to speak WebSocket
_STATUS_LINE = re.compile(r"HTTP/1\.[01] +([1-9][0-9][0-9])(?: (.*))?", re.ASCII)
_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0, 1, 2, 8, 9, 10
_KNOWN = frozenset({_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG})
_FINAL, _RESERVED, _MASK_FLAG, _CONTROL = 0x80, 0x70, 0x80, 0x08
_MOST_IN_CONTROL = 125  # bytes
_NORMAL, _BROKEN = 1000, 1002  # close codes
_CODES = range(1000, 5000)
_AGREED = 101  # HTTP's status


class WebSocket:
    """One connection to a server that speaks WebSocket, from the request for it on.

    Args:
        url: ws or wss; who is asked.
        user_agent: What we call ourselves; empty for no such header.
        draw: So many random bytes.
    """

    def __init__(self, url: Url, user_agent: str, draw: Callable[[int], bytes]) -> None:
        key = b64encode(draw(16))
        self._url = url
        self._draw = draw
        self._accept = b64encode(sha1(key + _KEY_END).digest()).decode()
        self._open = False
        self._closed = False  # we have said so
        self._inbox = bytearray()
        self._outbox = bytearray(_request(url, user_agent, key.decode()))
        self._parts: bytearray | None = None  # of the message that is under way
        self._of_text = False  # it is
        self._pong: bytes | None = None  # that is due

    @property
    def is_open(self) -> bool:
        """Whether the server has agreed: from then on messages pass."""
        return self._open

    @property
    def is_cut(self) -> bool:
        """Whether what came ends in the middle of something."""
        return bool(self._inbox) or self._parts is not None

    def receive(self, data: bytes) -> None:
        """Take what the network brought; take() reads it."""
        self._inbox += data

    def take(self) -> str | None:
        """Read the next frame: a message where it ends one, "" for any other; None: it is not there yet.

        Raises:
            TrackerFault: the server refused, closed, or broke the protocol; the conversation is then over.
        """
        if not self._open:
            found = _read_head(self._inbox)
            if found is None:
                return None
            self._agree(*found)
        try:
            return self._frame()
        except TrackerFault:
            self.close(_BROKEN)
            raise

    def send(self, message: str) -> None:
        """Queue a message."""
        self._queue(_TEXT, message.encode())

    def close(self, code: int = _NORMAL) -> None:
        """Say that we end it, once; afterwards nothing is sent."""
        if self._open and not self._closed:
            self._queue(_CLOSE, code.to_bytes(2, "big"))
            self._closed = True

    def outgoing(self) -> bytes:
        """Drain what is to be sent."""
        if self._pong is not None:
            self._queue(_PONG, self._pong)
            self._pong = None
        sent, self._outbox = self._outbox, bytearray()
        return bytes(sent)

    def _agree(self, status: int, reason: str, headers: dict[str, str]) -> None:
        if status in range(300, 400):
            raise TrackerFault(FaultKind.REPLY, "redirected, which is not followed for a WebSocket")
        if status != _AGREED:
            words = without_secrets(shown(reason.encode()), self._url)
            raise TrackerFault(FaultKind.STATUS, f"the tracker answered {status} {words}".rstrip(), status=status)
        wishes = [wish.strip() for wish in headers.get("connection", "").lower().split(",")]
        if headers.get("upgrade", "").lower() != "websocket" or "upgrade" not in wishes:
            raise TrackerFault(FaultKind.REPLY, "the server wants to speak something else than WebSocket")
        if headers.get("sec-websocket-accept") != self._accept:
            raise TrackerFault(FaultKind.REPLY, "the server's answer is not to our request for a WebSocket")
        self._open = True

    def _frame(self) -> str | None:
        inbox = self._inbox
        if len(inbox) < 2:
            return None
        first, second = inbox[0], inbox[1]
        kind, length, start = first & 0x0F, second & 0x7F, 2
        if first & _RESERVED or second & _MASK_FLAG or kind not in _KNOWN:
            raise TrackerFault(FaultKind.REPLY, "a frame that no WebSocket server sends, or packed without our wish")
        if kind & _CONTROL and (length > _MOST_IN_CONTROL or not first & _FINAL):
            raise TrackerFault(FaultKind.REPLY, "a control frame that is too long or cut in parts")
        if length > _MOST_IN_CONTROL:
            start = 4 if length == 126 else 10
            if len(inbox) < start:
                return None
            length = int.from_bytes(inbox[2:start], "big")
        if length + len(self._parts or b"") > MAX_MESSAGE:
            raise TrackerFault(FaultKind.REPLY, f"a message longer than {MAX_MESSAGE} bytes")
        if len(inbox) < start + length:
            return None
        payload = bytes(inbox[start : start + length])
        del inbox[: start + length]
        if kind & _CONTROL:
            self._control(kind, payload)
            return ""
        return self._part(kind, payload, final=bool(first & _FINAL))

    def _part(self, kind: int, payload: bytes, *, final: bool) -> str:
        """Add to the message under way; answers the message where it ends."""
        if (kind == _CONTINUATION) is (self._parts is None):
            raise TrackerFault(FaultKind.REPLY, "the parts of a message are out of order")
        if self._parts is None:
            self._parts, self._of_text = bytearray(), kind == _TEXT
        self._parts += payload
        if not final:
            return ""
        whole, self._parts = self._parts, None
        try:
            return whole.decode("utf-8", "strict" if self._of_text else "replace")
        except UnicodeDecodeError as bad:
            raise TrackerFault(FaultKind.REPLY, "text that is not UTF-8") from bad

    def _control(self, kind: int, payload: bytes) -> None:
        if kind == _PING:
            self._pong = payload
        elif kind == _CLOSE:
            raise self._closing(payload)

    def _closing(self, payload: bytes) -> TrackerFault:
        """The server ends it, and may say why."""
        code = int.from_bytes(payload[:2], "big")
        try:
            reason = without_secrets(shown(payload[2:].decode().encode()), self._url)
        except UnicodeDecodeError:
            code = 0
        if not payload:
            self.close()
            return TrackerFault(FaultKind.NETWORK, "the tracker hung up")
        if code not in _CODES:
            return TrackerFault(FaultKind.REPLY, "it hung up in a way that WebSocket does not know")
        self.close(code)
        return TrackerFault(FaultKind.NETWORK, f"the tracker hung up: {reason or 'without a reason'} (code {code})")

    def _queue(self, kind: int, payload: bytes) -> None:
        if self._closed:
            return
        length = len(payload)
        if length <= _MOST_IN_CONTROL:
            size = bytes([_MASK_FLAG | length])
        elif length < 1 << 16:
            size = bytes([_MASK_FLAG | 126]) + length.to_bytes(2, "big")
        else:
            size = bytes([_MASK_FLAG | 127]) + length.to_bytes(8, "big")
        mask = self._draw(4)
        self._outbox += bytes([_FINAL | kind]) + size + mask + _masked(payload, mask)


def _read_head(inbox: bytearray) -> tuple[int, str, dict[str, str]] | None:
    """Take an answer's head off what came: status, reason, and headers by their names in lower case.

    Returns:
        None where it is not whole yet; nothing is taken then.

    Raises:
        TrackerFault: this is no HTTP, or too long.
    """
    end = inbox.find(b"\r\n\r\n", 0, MAX_HEAD)
    if not b"HTTP/1.".startswith(inbox[:7]):
        raise TrackerFault(FaultKind.REPLY, "the answer is not HTTP")
    if end < 0:
        if len(inbox) >= MAX_HEAD:
            raise TrackerFault(FaultKind.REPLY, f"the answer's head is longer than {MAX_HEAD} bytes")
        return None
    first, *lines = inbox[:end].decode("latin-1").split("\r\n")
    del inbox[: end + 4]
    status = _STATUS_LINE.fullmatch(first)
    if status is None:
        raise TrackerFault(FaultKind.REPLY, "the answer is not HTTP")
    headers: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers.setdefault(name.strip().lower(), value.strip())
    return int(status[1]), status[2] or "", headers


def _masked(payload: bytes, mask: bytes) -> bytes:
    """A client's payload as it goes over the wire, and back (5.3): each byte with one of the mask's four."""
    length = len(payload)
    key = (mask * (length // 4 + 1))[:length]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(length, "big")


def _request(url: Url, user_agent: str, key: str) -> bytes:
    """Please speak WebSocket (4.1)."""
    asking = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Key": key, "Sec-WebSocket-Version": "13"}
    return request_head("GET", url.target, {**headers_for(url, user_agent), **asking})
