"""trackers, as a real program, against trackers on loopback."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from anabranch.bencode import encode
from anabranch.cli.diagnosing import subjects_of
from anabranch.metainfo import Magnet, load
from programs import run, running
from small_servers import HttpServer, ProxyServer, UdpServer, http_reply

SECRET = "0123456789abcdefs3cret"
DOCS = Path(__file__).resolve().parents[2] / "docs"
OF_WORKING = encode(
    {
        "complete": 12,
        "incomplete": 3,
        "interval": 1800,
        "peers": bytes.fromhex("c0000201 1ae1"),
        "tracker id": "you again",
    }
)


def answer(target: str) -> bytes:
    """What one server says under different paths."""
    if target.startswith("/announce-gone"):
        return http_reply(b"404 503 403", status="500 Oops")
    if target.startswith("/announce-refused"):
        return http_reply(encode({"failure reason": f"Passkey {SECRET} not found"}))
    if target.startswith("/announce-warned"):
        return http_reply(encode({"interval": 60, "peers": b"", "warning message": "moving soon"}))
    if target.startswith("/scrape"):
        return http_reply(encode({"files": {}}))
    return http_reply(OF_WORKING)


@contextmanager
def trackers() -> Iterator[HttpServer]:
    with HttpServer(answer) as server:
        yield server


def torrent(place: Path, *tiers: list[str]) -> Path:
    """A .torrent file of those trackers; 1,000 bytes."""
    info = {"length": 1000, "name": "some torrent", "piece length": 16384, "pieces": bytes(20)}
    path = place / "some.torrent"
    path.write_bytes(encode({"announce-list": list(tiers), "info": info}))
    return path


def objects(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_programs_are_told_of_each_tracker(tmp_path: Path) -> None:
    """By tier, with the category: it is what the tracker meant, not digits in a page. Nothing else is on stdout."""
    with trackers() as http, UdpServer(failure="Torrent not registered") as udp:
        urls = [f"{http.url}/announce{rest}/{SECRET}" for rest in ("", "-gone", "-refused", "-warned")]
        path = torrent(tmp_path, urls[:1], [*urls[1:3], f"{udp.url}/announce"], [urls[3], "nonsense"])
        done = run(tmp_path, "trackers", path, "--json")
        sent = http.targets
    assert (done.returncode, done.stderr) == (3, "")
    told = objects(done.stdout)
    assert [one["url"] for one in told] == [*urls[:3], f"{udp.url}/announce", urls[3], "nonsense"]
    assert [one["tier"] for one in told] == [0, 1, 1, 1, 2, 2]
    assert [one["kind"] for one in told] == ["http", "http", "http", "udp", "http", "unusable"]
    assert [one["is_working"] for one in told] == [True, False, False, False, True, False]
    assert [one["health"] for one in told] == [100, 0, 0, 0, 100, 0]
    assert [one["error_type"] for one in told] == [
        "",
        "tracker_http_error",
        "authentication_failed",
        "torrent_not_registered",
        "",
        "tracker_not_found",
    ]
    assert all(bool(one["remedy"]) is not one["is_working"] for one in told)
    assert told[2]["message"] == "Passkey *** not found"
    assert told[4]["message"] == told[4]["warning"] == "moving soon"
    assert (told[0]["seeders"], told[0]["leechers"], told[0]["peers"], told[0]["interval"]) == (12, 3, 1, 1800)
    assert [(one["family"], one["is_working"]) for one in told[0]["endpoints"]] == [("ipv4", True)]
    assert [event for target in sent for event in re.findall("event=([a-z]+)", target)].count("stopped") == 2
    assert not any("event=stopped" in target for target in sent if "-gone" in target or "-refused" in target)


def test_every_field_is_described(tmp_path: Path) -> None:
    """What programs are told is a promise."""
    described = (DOCS / "json.md").read_text("utf-8").partition("## What `trackers --json` prints")[2]
    with trackers() as http:
        [told] = objects(run(tmp_path, "trackers", torrent(tmp_path, [f"{http.url}/announce"]), "--json").stdout)
    assert [name for name in (*told, *told["endpoints"][0]) if f"`{name}`" not in described] == []


def test_trackers_are_told_that_we_start_and_stop(tmp_path: Path) -> None:
    """As one client, that lacks everything, wants few peers, and is where it was said to be."""
    with trackers() as http:
        path = torrent(tmp_path, [f"{http.url}/announce?passkey={SECRET}"])
        done = run(tmp_path, "trackers", path, "--port", "7777", "--identity", "anabranch")
        first, second = http.targets
        agents = [re.search(r"(?mi)^user-agent: (.*)\r", head) for head in http.heads]
    assert done.returncode == 0
    for target, event in ((first, "started"), (second, "stopped")):
        assert target.startswith(f"/announce?passkey={SECRET}&")
        assert f"event={event}" in target
        assert "port=7777&" in target
        assert "left=1000&" in target
    assert "numwant=10&" in first
    assert re.findall("peer_id=([^&]*)", first) == re.findall("peer_id=([^&]*)", second)
    assert re.findall("key=([^&]*)", first) == re.findall("key=([^&]*)", second)
    assert "peer_id=-AB" in first
    assert ("trackerid=you%20again" in first, "trackerid=you%20again" in second) == (False, True)
    assert all(agent is not None and agent[1].startswith("anabranch/") for agent in agents)


def test_people_see_a_table_without_passkeys(tmp_path: Path) -> None:
    """Also with all logs on; each tracker by its place, with what is wrong and what to do."""
    with trackers() as http:
        urls = [f"{http.url}/announce{rest}/{SECRET}" for rest in ("", "-refused")]
        path = torrent(tmp_path, urls)
        done = run(tmp_path, "trackers", path)
        logged = run(tmp_path, "trackers", path, "-vv")
    assert (done.returncode, done.stderr) == (3, "")
    title, head, first, second, said, remedy, total = done.stdout.splitlines()
    assert title.startswith("some torrent  ")
    assert head.split() == ["Tier", "Tracker", "State", "Health", "Seeds", "Leech", "Peers", "Time"]
    assert first.split()[:-1] == ["1", http.url, "works", "100%", "12", "3", "1"]
    assert second.split()[:-1] == ["1", http.url, "fails", "0%", "-", "-", "-"]
    assert said == "     authentication_failed: Passkey *** not found"
    assert remedy.startswith("     ")
    assert "passkey" in remedy
    assert total == "1 of 2 trackers works: health 50%; 1 authentication_failed"
    assert SECRET not in done.stdout + logged.stdout + logged.stderr


def test_scraping_tells_nobody_of_us(tmp_path: Path) -> None:
    """Numbers without an announce; over UDP too."""
    with trackers() as http, UdpServer() as udp:
        path = torrent(tmp_path, [f"{http.url}/announce", udp.url])
        done = run(tmp_path, "trackers", path, "--scrape", "--json")
        assert [target.partition("?")[0] for target in http.targets] == ["/scrape"]
        assert [datagram[8:12].hex() for datagram in udp.datagrams] == ["00000000", "00000002"]
    one, other = objects(done.stdout)
    assert done.returncode == 0
    assert (one["asked"], one["is_working"], one["seeders"]) == ("scrape", True, None)
    assert (other["seeders"], other["downloaded"], other["leechers"]) == (2, 7, 1)


def test_a_hash_or_link_and_trackers_of_ones_own(tmp_path: Path) -> None:
    """What the user names may be in this network at any path; what a link names there, under /announce only."""
    with trackers() as http:
        done = run(tmp_path, "trackers", "12" * 20, "--tracker", f"{http.url}/admin/reboot", "--json")
        assert [one["is_working"] for one in objects(done.stdout)] == [True]
        asked = len(http.targets)
        link = f"magnet:?xt=urn:btih:{'12' * 20}&dn=linked&tr={http.url}/announce&tr={http.url}/reboot"
        mixed = run(tmp_path, "trackers", link, "--json")
        assert len(http.targets) == asked + 2
        allowed = run(tmp_path, "trackers", link, "--allow-local-urls", "--json")
    one, other = objects(mixed.stdout)
    assert (mixed.returncode, one["tier"], other["tier"]) == (3, 0, 1)
    assert (one["is_working"], other["error_type"]) == (True, "network_error")
    assert "--allow" in other["remedy"] or "protection" in other["remedy"]
    assert allowed.returncode == 0


def test_exit_codes(tmp_path: Path) -> None:
    """None works; nobody to ask; bad usage."""
    with trackers() as http:
        none = run(tmp_path, "trackers", torrent(tmp_path, [f"{http.url}/announce-gone"]))
    assert none.returncode == 1
    nobody = run(tmp_path, "trackers", torrent(tmp_path))
    assert (nobody.returncode, nobody.stdout, nobody.stderr.count("\n")) == (1, "", 1)
    assert "some torrent has no trackers" in nobody.stderr
    link = run(tmp_path, "trackers", f"magnet:?xt=urn:btih:{'12' * 20}")
    assert (link.returncode, link.stderr.count("\n")) == (1, 1)
    bare = run(tmp_path, "trackers", "12" * 20)
    assert bare.returncode == 2
    assert "--tracker" in bare.stderr
    assert run(tmp_path, "trackers", "x.torrent").returncode == 1


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("x.torrent", "--every", "1"),
        ("x.torrent", "--port", "0"),
        ("x.torrent", "--tracker", "ftp://a.example/"),
        ("x.torrent", "--bind", "nowhere"),
        ("x.torrent", "--identity", "somebody"),
    ],
)
def test_bad_usage_is_said_before_anybody_is_asked(tmp_path: Path, words: tuple[str, ...]) -> None:
    """Exit code 2."""
    assert run(tmp_path, "trackers", *words).returncode == 2


def test_http_goes_through_the_proxy(tmp_path: Path) -> None:
    """As everything else does; its password is not told."""
    with trackers() as http, ProxyServer({"tracker.example": "127.0.0.1"}, "me:pa55word") as proxy:
        path = torrent(tmp_path, [f"http://tracker.example:{http.port}/announce"])
        done = run(tmp_path, "trackers", path, "--http-proxy", proxy.url, "--json")
    [told] = objects(done.stdout)
    assert (done.returncode, [one["family"] for one in told["endpoints"]]) == (0, ["proxy"])
    assert "pa55word" not in done.stdout + done.stderr


def test_watching_goes_on_until_it_is_interrupted(tmp_path: Path) -> None:
    """The exit code is that of the last round; trackers are not announced to in each."""
    with trackers() as http:
        path = torrent(tmp_path, [f"{http.url}/announce", f"{http.url}/announce-gone"])
        with running(tmp_path, "trackers", path, "--watch", "--every", "5", "--json") as program:
            assert program.child.stdout is not None
            lines = [program.child.stdout.readline() for _ in range(2)]
            assert program.end(signal.SIGINT) == 3
        assert [json.loads(line)["is_working"] for line in lines] == [True, False]
        with running(tmp_path, "trackers", path, "--watch", "--every", "5") as program:
            assert program.child.stdout is not None
            while "trackers works" not in program.child.stdout.readline():
                continue
            assert program.end(signal.SIGTERM) == 3


def test_an_interrupt_before_anything_is_known_is_one(tmp_path: Path) -> None:
    """Exit code 130, and nothing is said but the end of the line."""
    with HttpServer(lambda _: None) as silent:
        path = torrent(tmp_path, [f"{silent.url}/announce"])
        with running(tmp_path, "trackers", path) as program:
            while not silent.connections:
                program.child.poll()
            program.child.send_signal(signal.SIGINT)
            out, err = program.child.communicate(timeout=10)
    assert (program.child.returncode, out, err) == (130, "", "\n")


def test_each_tracker_is_asked_once_and_those_that_are_switched_off_are_not() -> None:
    """uTorrent writes "*" before the URL of what its user switched off; the user's own come last, and are trusted."""
    a, b = "http://a.example/announce", "udp://b.example:1"
    link = f"magnet:?xt=urn:btih:{'12' * 20}&tr={a}&tr={b}"
    found = subjects_of(Magnet.parse(link), [b, "http://c.example/announce"])
    assert [(one.url, one.tier, one.trusted) for one in found] == [
        (a, 0, False),
        (b, 1, True),
        ("http://c.example/announce", 3, True),
    ]


def test_a_list_of_thousands_is_not_asked_whole(tmp_path: Path) -> None:
    """Whoever makes a torrent would have others ask somebody's server again and again."""
    urls = [f"http://{number}.example/announce" for number in range(3000)]
    path = torrent(tmp_path, ["*http://off.example/announce"], urls)
    assert [one.url for one in subjects_of(load(path), ())] == urls[:500]
    off = run(tmp_path, "trackers", torrent(tmp_path, ["*http://off.example/announce"]))
    assert (off.returncode, off.stderr) == (1, "anabranch: some torrent: all of its trackers are switched off\n")
