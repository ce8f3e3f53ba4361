"""`anabranch tracker`, as a real program that others announce to."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import pytest

from anabranch.cli.main import commands
from anabranch.cli.serving_trackers import only_these
from anabranch.metainfo import Metainfo
from programs import run, running, small_torrent
from trees import make_file

HASH = "159ecfca2671791d88186a7f89e6cb1aa64fb29b"


def test_peers_meet_at_it(tmp_path: Path) -> None:
    """By HTTP and UDP; every announce is told as JSON, and the numbers at the end; SIGTERM ends it."""
    with running(tmp_path, "tracker", "--bind", "127.0.0.1", "--port", "0", "--json", "--interval", "5m") as tracker:
        told = tracker.told("listening")
        http, udp = told["urls"]
        assert (http[:17], udp[:16], told["interval"]) == ("http://127.0.0.1:", "udp://127.0.0.1:", 300)
        assert run(tmp_path, "announce", http, HASH, "--port", "7", "--left", "0", "--event", "started").returncode == 0
        assert tracker.told("announce") == {
            "event": "announce",
            "torrent": HASH,
            "what": "started",
            "peer": "127.0.0.1:7",
            "client": "-DE211s-",
            "carrier": "http",
            "left": 0,
            "seeders": 1,
            "leechers": 0,
            "completed": 0,
            "refused": "",
        }
        second = run(tmp_path, "announce", udp, HASH)
        assert "127.0.0.1:7" in second.stdout
        assert tracker.told("announce")["carrier"] == "udp"
        assert "seeders 1, leechers 1" in run(tmp_path, "scrape", http, HASH).stdout
        tracker.child.send_signal(signal.SIGTERM)
        said = tracker.told("stats")
        assert (said["announces_http"], said["announces_udp"], said["scrapes"]) == (1, 1, 1)
        assert tracker.child.wait(10) == 130


def test_only_what_is_named_is_served(tmp_path: Path) -> None:
    """Others are refused in words; -v tells of each in a line."""
    torrent, _ = small_torrent(tmp_path)
    with running(
        tmp_path, "tracker", "--bind", "127.0.0.1", "--port", "0", "--no-udp", "--only", torrent, "-v"
    ) as tracker:
        assert tracker.child.stdout is not None
        assert tracker.child.stdout.readline() == "Announce to\n"
        url = tracker.child.stdout.readline().strip()
        assert tracker.child.stdout.readline() == "Peers are to announce every 30m00s. Ctrl-C ends it.\n"
        assert run(tmp_path, "announce", url, torrent).returncode == 0
        refused = run(tmp_path, "announce", url, HASH)
        assert refused.returncode == 1
        assert "torrent not registered with this tracker" in refused.stderr
        tracker.child.send_signal(signal.SIGINT)
        said, logged = tracker.child.communicate(timeout=10)
    assert said == "1 torrent, 0 seeders, 1 leecher, 2 announces, 0 scrapes, 1 refused\n"
    assert "announced torrent=" in logged
    assert f"refused torrent={HASH} peer=127.0.0.1:42069 client=-DE211s- reason=torrent not registered" in logged


def test_a_taken_port_is_one_clear_line(tmp_path: Path) -> None:
    """And the exit code of what failed."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = run(tmp_path, "tracker", "--bind", "127.0.0.1", "--port", str(taken.getsockname()[1]))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("anabranch: cannot listen on 127.0.0.1:")
    assert done.stderr.endswith(": Address already in use\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--interval", "30x"), "no time from 1s to 24h"),
        (("--interval", "0"), "no time from 1s to 24h"),
        (("--interval", "25h"), "no time from 1s to 24h"),
        (("--no-http", "--no-udp"), "one has to stay"),
        (("--bind", "localhost"), "not an IP address"),
        (("--only", "nonsense"), "no info hash"),
    ],
)
def test_bad_usage_is_told(words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything is opened."""
    from anabranch.cli import main

    assert main(["tracker", *words]) == 2
    assert said in capsys.readouterr().err


def test_what_is_served_may_be_named_in_every_way(tmp_path: Path) -> None:
    """A hybrid torrent by both of its hashes: clients of either version announce it."""
    make_file(tmp_path / "one.bin", 100_000, 1)
    torrent = tmp_path / "one.torrent"
    assert run(tmp_path, "create", "one.bin", "-o", torrent, "--hybrid").returncode == 0
    info = Metainfo.parse(torrent.read_bytes()).info
    assert info.v1 is not None
    assert info.v2 is not None
    both = frozenset({bytes(info.v1), bytes(info.v2.truncated)})
    assert only_these([str(torrent)]) == both
    assert only_these([f"magnet:?xt=urn:btih:{info.v1}&xt=urn:btmh:1220{info.v2}", HASH]) == both | {
        bytes.fromhex(HASH)
    }
    assert only_these([]) is None


def test_everything_that_is_told_is_documented() -> None:
    """docs/json.md, which programs are written by."""
    document = (Path(__file__).parents[2] / "docs" / "json.md").read_text("utf-8")
    about = document.partition("What `tracker --json` prints")[2]
    for name in ("listening", "announce", "stats", "urls", "what", "carrier", "client", "refused"):
        assert f"`{name}`" in about
    assert "tracker" in commands.commands
