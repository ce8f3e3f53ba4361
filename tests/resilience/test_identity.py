"""Who a running client says it is: what peers, trackers, web seeds and servers of .torrent files see of it."""

from __future__ import annotations

import ast
import re
import socket
import string
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

import trees
from anabranch.api import Client, Config, Identity, InfoHash, InputRefused, Magnet, Metainfo, create
from anabranch.bencode import encode
from anabranch.model import VERSION
from anabranch.net import ANABRANCH, ANONYMOUS, DELUGE
from ours import KIB, address_of, make_client, until
from small_servers import HttpServer, http_reply
from threads import PATIENCE

HOST, OURS = "127.0.7.40", "127.0.7.41"
LENGTH = 100_000
UNESCAPED = string.ascii_letters + string.digits + "-_.!~*()"
PROTOCOL = b"\x13BitTorrent protocol"
RESERVED = bytes.fromhex("0000000000100005")  # BEP 10, BEP 6, BEP 5
THEIRS = b"-XX0000-abcdefghijkl"
SOURCE = Path(__file__).resolve().parents[2] / "src/anabranch"

OWN = Identity(b"-ME1234-", "Somebody/1.0 (a service)", "Somebody 1.0", "Somebody")
SILENT = Identity(b"", "", "", "")
PROFILES: dict[str, Identity] = {
    "deluge": DELUGE,
    "anabranch": ANABRANCH,
    "anonymous": ANONYMOUS,
    "own": OWN,
    "silent": SILENT,
}


@pytest.fixture(scope="module")
def torrent(tmp_path_factory: pytest.TempPathFactory) -> Metainfo:
    """A torrent of one file."""
    path = tmp_path_factory.mktemp("content") / "file.bin"
    trees.make_file(path, LENGTH)
    return Metainfo.parse(create(path, piece_length=32 * KIB))


@contextmanager
def client_of(place: Path, **settings: Any) -> Iterator[Client]:
    """A client that speaks in clear: what it sends can be read."""
    with make_client(place, OURS, encryption="off", **settings) as client:
        yield client


def wants(client: Client, metainfo: Metainfo) -> None:
    """Have the client dial for the torrent."""
    torrent = client.add(metainfo)
    assert torrent.checked.wait(PATIENCE)
    torrent.download_all()


def read(sock: socket.socket, length: int) -> bytes:
    got = b""
    while len(got) < length:
        some = sock.recv(length - len(got))
        assert some, f"hung up after {got!r}"
        got += some
    return got


def extended(sock: socket.socket) -> bytes:
    """The dictionary of the extended handshake, as it comes; other messages are passed over."""
    while True:
        body = read(sock, int.from_bytes(read(sock, 4), "big"))
        if body[:2] == b"\x14\x00":
            return body[2:]


def dialed(client: Client, metainfo: Metainfo) -> tuple[bytes, bytes]:
    """What the client says to a peer that it dials: its first 68 bytes, and its extended handshake."""
    with socket.create_server((HOST, 0)) as listener:
        listener.settimeout(PATIENCE)
        torrent = client.get(metainfo.info.info_hash)
        assert torrent is not None
        torrent.add_peers([(HOST, listener.getsockname()[1])])
        sock, _ = listener.accept()
    with sock:
        sock.settimeout(PATIENCE)
        greeting = read(sock, 68)
        sock.sendall(PROTOCOL + RESERVED + metainfo.info.info_hash + THEIRS)
        return greeting, extended(sock)


def accepted(client: Client, metainfo: Metainfo) -> tuple[bytes, bytes]:
    """The same, to a peer that dials it."""
    address = address_of(client)
    with socket.create_connection((address.host, address.port), PATIENCE, (HOST, 0)) as sock:
        sock.sendall(PROTOCOL + RESERVED + metainfo.info.info_hash + THEIRS)
        return read(sock, 68), extended(sock)


def agents(head: str) -> list[str]:
    """What the User-Agent headers of a request say."""
    return re.findall(r"^user-agent:[ \t]*(.*?)\r?$", head, re.IGNORECASE | re.MULTILINE)


def headers(head: str) -> list[str]:
    """The names of a request's headers, in their order."""
    return [line.partition(":")[0] for line in head.split("\r\n")[1:] if line]


@pytest.mark.parametrize("name", PROFILES)
def test_peers_see_one_profile_and_nothing_else(tmp_path: Path, torrent: Metainfo, name: str) -> None:
    """W36: byte for byte, to whom we dial and to who dials us: reserved bits, peer id, `v`, and all other keys."""
    us = PROFILES[name]
    with client_of(tmp_path, identity=us) as client:
        wants(client, torrent)
        port = address_of(client).port
        for greeting, told in (dialed(client, torrent), accepted(client, torrent)):
            assert greeting[:48] == PROTOCOL + RESERVED + torrent.info.info_hash
            assert greeting[48:].startswith(us.peer_id_prefix)
            assert greeting[48:] == _peer_id(client)
            said = {
                b"e": 0,
                b"m": {b"lt_donthave": 7, b"ut_metadata": 1, b"ut_pex": 2},
                b"metadata_size": torrent.info.raw_size,
                b"p": port,
                b"reqq": 1024,
                b"yourip": socket.inet_aton(HOST),
            }
            if us.extended_version:
                said[b"v"] = us.extended_version.encode()
            assert told == encode(said)


def _peer_id(client: Client) -> bytes:
    return client._core.engine.peer_id


def test_peer_ids_of_two_clients_differ_behind_the_prefix(tmp_path: Path) -> None:
    """BEP 20: the prefix names the program, the rest one running client. Without a prefix all of it does."""
    for us in (DELUGE, ANONYMOUS):
        with client_of(tmp_path / "a", identity=us) as one, make_client(tmp_path / "b", HOST, identity=us) as other:
            first, second = _peer_id(one), _peer_id(other)
        assert first[:8] != second[:8] or us.peer_id_prefix == first[:8] == second[:8]
        assert first[8:] != second[8:]


def test_all_of_the_peer_id_can_be_chosen(tmp_path: Path, torrent: Metainfo) -> None:
    """W36: Config.peer_id wins over the identity's prefix, and over nothing else."""
    with client_of(tmp_path, peer_id=b"-UT3550-\x00\xff0123456789") as client:
        wants(client, torrent)
        greeting, told = dialed(client, torrent)
    assert greeting[48:] == b"-UT3550-\x00\xff0123456789"
    assert b"1:v12:Deluge 2.1.1" in told


@pytest.mark.parametrize("name", PROFILES)
def test_servers_see_one_profile_wherever_they_are_asked(tmp_path: Path, torrent: Metainfo, name: str) -> None:
    """W36: trackers of both kinds, web seeds, sources of metadata, the URL of add(). The fork forgot the last three."""
    us = PROFILES[name]
    answers = {
        "announce": http_reply(b"d8:intervali1800e5:peers0:e"),
        "add.torrent": http_reply(torrent.raw),
    }

    def answer(target: str) -> bytes:
        known = answers.get(urlsplit(target).path.rpartition("/")[2])
        return known or http_reply(b"", status="404 Not Found")

    with HttpServer(answer, HOST) as server, client_of(tmp_path, identity=us, announce_to_all=True) as client:
        added = client.add(f"{server.url}/add.torrent")
        added.add_webseeds([f"{server.url}/seed/file.bin"])
        added.download_all()
        client.add(
            Magnet(
                v1=InfoHash(b"\xab" * 20),
                trackers=(f"{server.url}/announce", f"{server.url.replace('http', 'ws')}/announce.socket"),
                sources=(f"{server.url}/source.torrent",),
            )
        )
        due = {"/add.torrent", "/seed/file.bin", "/announce", "/announce.socket", "/source.torrent"}
        until(lambda: due <= {urlsplit(target).path for target in server.targets}, what="all five were asked")
        peer_id = _peer_id(client)
    for head in server.heads:
        assert agents(head) == ([us.user_agent] if us.user_agent else []), head
        assert not re.search("anabranch|aiohttp|python", head, re.IGNORECASE) or us is ANABRANCH, head
    [target] = {target for target in server.targets if target.startswith("/announce?") and "event=started" in target}
    query = parse_qs(urlsplit(target).query, encoding="latin-1")
    assert query["peer_id"][0].encode("latin-1") == peer_id
    assert int(query["key"][0], 16) == int.from_bytes(peer_id[-4:], "big")


def test_an_announce_is_deluge_s_byte_for_byte(tmp_path: Path, torrent: Metainfo) -> None:
    """W36: the line and the headers of libtorrent 2.1.1, in its order, under Deluge's name."""
    with HttpServer(lambda _: http_reply(b"d8:intervali1800e5:peers0:e"), HOST) as server:
        with client_of(tmp_path, peer_id=b"-DE211s-abcdefghijkl") as client:
            wants(client, replace(torrent, trackers=((f"{server.url}/announce",),)))
            until(lambda: server.heads)
            port = address_of(client).port
        head = server.heads[0]
    escaped = "".join(chr(one) if chr(one) in UNESCAPED else f"%{one:02x}" for one in torrent.info.info_hash)
    assert head.split("\r\n")[0] == (
        f"GET /announce?info_hash={escaped}&peer_id=-DE211s-abcdefghijkl&port={port}&uploaded=0&downloaded=0"
        f"&left={LENGTH}&corrupt=0&key=696A6B6C&event=started&numwant=200&compact=1&no_peer_id=1&redundant=0 HTTP/1.1"
    )
    assert headers(head)[:3] == ["Host", "User-Agent", "Accept-Encoding"]
    assert "User-Agent: Deluge/2.1.1 libtorrent/1.2.19.0\r\n" in head
    assert set(headers(head)) <= {"Host", "User-Agent", "Accept-Encoding", "Connection"}


def test_a_profile_may_be_given_by_its_name() -> None:
    """As the command line does; what is read back is the profile."""
    assert [Config(identity=name).identity for name in ("deluge", "anabranch", "anonymous")] == [
        DELUGE,
        ANABRANCH,
        ANONYMOUS,
    ]
    assert Config().identity == DELUGE
    assert Config(identity=OWN).identity is OWN
    with pytest.raises(InputRefused, match="not 'utorrent'"):
        Config(identity="utorrent")


def test_nobody_but_the_profile_spells_a_program_s_name() -> None:
    """W36: one object has all of it. What create() writes as `created by` is about the file, not about the client."""
    agent, prefix = r"(Deluge|libtorrent|curl|anabranch|aiohttp)/(\d|$)", r"^-[A-Z]{2}[0-9A-Za-z]{4}-$"
    spelt = re.compile(rf"{agent}|{prefix}|anabranch {VERSION}")
    found = [
        (path.relative_to(SOURCE).as_posix(), text)
        for path in SOURCE.rglob("*.py")
        if path.parent.name != "testing"
        for text in texts(ast.parse(path.read_text("utf-8")))
        if spelt.search(text)
    ]
    assert {path for path, _ in found} == {"net/identity.py", "metainfo/create_io.py"}
    assert [text for path, text in found if path == "metainfo/create_io.py"] == ["anabranch/"]


def texts(tree: ast.AST) -> Iterator[str]:
    """All strings of a module but its docstrings."""
    said = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) not in said:
            if isinstance(node.value, str):
                yield node.value
            elif isinstance(node.value, bytes):
                yield node.value.decode("latin-1")
