"""Trackers of every kind, as sockets and the standard library's client see them."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing, suppress
from http.client import HTTPConnection
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest

from anabranch.bencode import decode
from anabranch.testing import TRACKER_KINDS, BadTrackers
from anabranch.testing.bad_tls_io import FLAWS
from anabranch.testing.tracker_talk import OverTls

HOST = "127.0.14.93"
CONNECT = bytes.fromhex("0000041727101980 00000000 01020304")
KEY = b64encode(bytes(16)).decode()


@pytest.fixture(scope="module")
def bad() -> Iterator[BadTrackers]:
    with BadTrackers(HOST) as bad:
        yield bad


def port_of(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port


def line_to(url: str) -> socket.socket:
    return socket.create_connection((HOST, port_of(url)), 5)


def all_of(line: socket.socket) -> bytes:
    return b"".join(iter(lambda: line.recv(65536), b""))


def test_an_honest_one_answers_announces_and_scrapes(bad: BadTrackers) -> None:
    """Over one connection, and counts who asks."""
    url, before = bad.url("honest"), bad.asked["honest"]
    with closing(HTTPConnection(HOST, port_of(url), timeout=5)) as line:
        line.request("GET", f"{urlsplit(url).path}?info_hash={'h' * 20}")
        table = decode(line.getresponse().read())
        assert isinstance(table, dict)
        assert table[b"interval"] == 1800
        line.request("GET", f"/scrape-honest?info_hash={'%41' * 20}&info_hash={'h' * 20}")
        told = decode(line.getresponse().read())
        assert isinstance(told, dict)
        files = told[b"files"]
        assert isinstance(files, dict)
        assert list(files) == [b"A" * 20, b"h" * 20]
    assert bad.asked["honest"] == before + 2


def test_each_kind_has_a_url_of_its_own_that_stays(bad: BadTrackers) -> None:
    """Asked for again it is the same one."""
    urls = [bad.url(kind) for kind in ("status-404", "silent", "udp-silent", "ws-honest", "tls-honest", "shut")]
    assert len(set(urls)) == len(urls)
    assert urls[2] == bad.url("udp-silent")
    assert [urlsplit(url).scheme for url in urls] == ["http", "http", "udp", "ws", "https", "http"]
    with pytest.raises(KeyError):
        bad.url("kindness")


def test_a_status_is_what_its_name_says(bad: BadTrackers) -> None:
    """Also one that HTTP has no word for."""
    for status in (404, 503, 599):
        with pytest.raises(HTTPError) as refusal:
            urlopen(bad.url(f"status-{status}"), timeout=5)
        assert refusal.value.code == status
        refusal.value.close()


def test_a_shut_port_refuses_and_a_full_one_does_not_answer(bad: BadTrackers) -> None:
    """The one by TCP and UDP; the other has a queue in which nobody moves."""
    with pytest.raises(ConnectionRefusedError):
        line_to(bad.url("shut"))
    with pytest.raises(TimeoutError):
        socket.create_connection((HOST, port_of(bad.url("full"))), 0.2)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as post:
        post.settimeout(5)
        post.connect((HOST, port_of(bad.url("udp-shut"))))
        post.send(CONNECT)
        with pytest.raises(ConnectionRefusedError):
            post.recv(100)


def test_udp_answers_come_from_where_they_should_or_not(bad: BadTrackers) -> None:
    """An honest connect; the same from another port; and after a connect, an error."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as post:
        post.settimeout(5)
        post.bind((HOST, 0))
        for kind, is_right in (("udp-honest", True), ("udp-elsewhere", False)):
            place = (HOST, port_of(bad.url(kind)))
            post.sendto(CONNECT, place)
            reply, sender = post.recvfrom(100)
            assert reply[:8] == bytes.fromhex("00000000 01020304")
            assert (sender == place) is is_right
        announce = reply[8:16] + struct.pack(">II20s", 1, 7, b"h" * 20) + bytes(62)
        post.sendto(announce, (HOST, port_of(bad.url("udp-reason-banned"))))
        assert post.recv(100) == struct.pack(">II", 3, 7) + b"BANNED\0"


def test_a_websocket_is_welcomed_and_answered(bad: BadTrackers) -> None:
    """RFC 6455's own example of a key, and a masked message."""
    with line_to(bad.url("ws-honest")) as line:
        line.sendall(b"GET / HTTP/1.1\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
        assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in line.recv(1000)
        asked = b'{"action": "announce", "info_hash": "hash"}'
        mask = b"\x01\x02\x03\x04"
        masked = bytes(byte ^ mask[place % 4] for place, byte in enumerate(asked))
        line.sendall(bytes([0x81, 0x80 | len(asked)]) + mask + masked)
        reply = line.recv(1000)
        assert reply[0] == 0x81
        assert b'"info_hash": "hash"' in reply
        assert bad.open == 1


def test_a_reset_is_one(bad: BadTrackers) -> None:
    """Not an end in order."""
    with pytest.raises(ConnectionResetError), line_to(bad.url("resets-at-once")) as line:  # connecting may see it, too
        line.recv(1)
    with line_to(bad.url("ends-at-once")) as line:
        assert line.recv(1) == b""
    with line_to(bad.url("ssh-server")) as line:
        assert all_of(line) == b"SSH-2.0-OpenSSH_9.6\r\n"


REFUSALS = {
    "self-signed": "self-signed certificate",
    "unknown": "unable to get local issuer",
    "expired": "certificate has expired",
    "not-yet": "not yet valid",
    "wrong-name": "mismatch",
    "old": "alert protocol version|unsupported protocol",
    "odd-cipher": "handshake failure",
}


@pytest.mark.parametrize("flaw", FLAWS)
def test_tls_has_the_flaw_that_it_should(bad: BadTrackers, flaw: str) -> None:
    """And no other: who trusts the authority tells them apart."""
    [kind] = [name for name, kind in TRACKER_KINDS.items() if kind.serves == OverTls(flaw)]
    trusting = ssl.create_default_context(cafile=str(bad.authority))
    with line_to(bad.url(kind)) as line:
        if flaw in REFUSALS:
            with pytest.raises(ssl.SSLError, match=f"(?i){REFUSALS[flaw]}"):
                trusting.wrap_socket(line, server_hostname=HOST)
            return
        with trusting.wrap_socket(line, server_hostname=HOST) as secure:
            secure.sendall(b"GET /announce HTTP/1.1\r\n\r\n")
            if flaw == "honest":
                assert secure.recv(1000).startswith(b"HTTP/1.1 200 OK")
            else:
                with pytest.raises(ssl.SSLError, match=r"(?i)certificate required"):
                    all_of(secure)


def test_it_ends_with_the_block_whoever_is_connected() -> None:
    """Threads, files and sockets are gone; those who waited are hung up on."""
    threads = threading.active_count()
    with BadTrackers(HOST) as bad:
        lines = [line_to(bad.url(kind)) for kind in ("deaf", "ws-silent-head", "silent")]
        authority: Path = bad.authority
        assert authority.exists()
    assert threading.active_count() <= threads
    assert not authority.exists()
    for line in lines:
        with line, suppress(ConnectionResetError):  # that of whom nobody had welcomed yet
            assert line.recv(1) == b""
