"""download with web seeds: from servers alone, beside peers, and without them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from anabranch.cli.options import Wishes
from anabranch.cli.session import config_of
from anabranch.testing import WebServer
from authority import make_authority
from programs import run, running, seeding, small_torrent
from trees import digest

NOT_HERE = ("--bind", "127.0.0.2", "--port", "0")
SERVER = "127.0.7.9"


@pytest.fixture
def torrent(tmp_path: Path) -> Path:
    return small_torrent(tmp_path)[0]


def test_a_web_seed_that_is_named_is_enough(tmp_path: Path, torrent: Path) -> None:
    """Without any peer, within the limit of the rate; programs are told how many give something."""
    with WebServer(tmp_path / "source", host=SERVER) as server:
        named = ("--webseed", f"{server.url}/", "--limit-down", "1M", "--json")
        done = run(tmp_path, "download", torrent, "-d", "got", *named, *NOT_HERE)
        assert {request.split("/")[1] for request in server.targets} == {"folder"}
    assert done.returncode == 0, done.stderr
    assert digest(tmp_path / "got" / "folder") == digest(tmp_path / "source" / "folder")
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert {"webseeds", "rate_webseeds"} <= set([one for one in told if one["event"] == "progress"][-1])
    assert [one for one in told if one["event"] == "webseed_failed"] == []


def test_web_seeds_are_named_for_every_source_and_may_be_several(tmp_path: Path, torrent: Path) -> None:
    """Here one torrent, as file and as link, is one; another has its own folder on the server."""
    other = tmp_path / "other.torrent"
    (tmp_path / "source" / "other.bin").write_bytes(bytes(range(256)) * 1000)
    assert run(tmp_path, "create", tmp_path / "source" / "other.bin", "-o", other).returncode == 0
    with WebServer(tmp_path / "source", host=SERVER) as server:
        named = ("--webseed", f"{server.url}/", "--webseed", f"{server.url}/nothing here/")
        done = run(tmp_path, "download", torrent, other, "-d", "got", *named, *NOT_HERE)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "got" / "other.bin").read_bytes() == bytes(range(256)) * 1000
    assert digest(tmp_path / "got" / "folder") == digest(tmp_path / "source" / "folder")


def test_a_web_seed_that_fails_is_said_once_and_peers_do_the_rest(tmp_path: Path, torrent: Path) -> None:
    """In words on stderr, without what is secret in its URL; to programs as an event."""
    with (
        seeding(tmp_path, torrent, tmp_path / "source") as address,
        WebServer(tmp_path / "source", "status-500", host=SERVER) as server,
    ):
        secret = server.url.replace("//", "//me:password@") + "/passkey/"
        plain = ("download", torrent, "--webseed", secret, "--limit-down", "400K", "--peer", address, *NOT_HERE)
        done = run(tmp_path, *plain, "-d", "got")
        told = run(tmp_path, *plain, "-d", "got too", "--json")
    assert done.returncode == told.returncode == 0, done.stderr + told.stderr
    [line] = [line for line in done.stderr.splitlines() if line.startswith("web seed ")]
    assert line.startswith(f"web seed {server.url}: ")
    assert "500" in line
    assert line.endswith("; left alone for 1m00s")
    [event] = [one for one in map(json.loads, told.stdout.splitlines()) if one["event"] == "webseed_failed"]
    assert (event["webseed"], event["seconds"]) == (server.url, 60.0)
    for text in (done.stdout, done.stderr, told.stdout, told.stderr):
        assert "passkey" not in text
        assert "password" not in text


def test_one_that_is_of_no_use_is_said_for_good(tmp_path: Path, torrent: Path) -> None:
    """A file's URL for a folder: `seconds` is null, which is JSON, as infinity would not be."""
    with seeding(tmp_path, torrent, tmp_path / "source") as address:
        useless = ("--webseed", "http://host.example/file", "--peer", address)
        done = run(tmp_path, "download", torrent, "-d", "got", *useless, "--json", *NOT_HERE)
    assert done.returncode == 0, done.stderr
    [event] = [one for one in map(json.loads, done.stdout.splitlines()) if one["event"] == "webseed_failed"]
    assert event["seconds"] is None
    assert "folder" in event["reason"]


def test_without_web_seeds_none_is_asked(tmp_path: Path, torrent: Path) -> None:
    """Neither those of the torrent nor those that were added in an earlier run."""
    with (
        seeding(tmp_path, torrent, tmp_path / "source") as address,
        WebServer(tmp_path / "source", host=SERVER) as server,
    ):
        named = ("--webseed", f"{server.url}/")
        done = run(tmp_path, "download", torrent, "-d", "got", *named, "--no-webseeds", "--peer", address, *NOT_HERE)
        assert done.returncode == 0, done.stderr
        assert server.requests == []


def test_a_server_with_a_certificate_of_one_s_own_is_verified_by_it(tmp_path: Path, torrent: Path) -> None:
    """Without it nothing is believed; with it everything comes over TLS."""
    authority = make_authority(tmp_path / "keys", SERVER)
    with WebServer(tmp_path / "source", host=SERVER, tls=authority.server()) as server:
        named = ("--webseed", f"{server.url}/", "--json", *NOT_HERE)
        with running(tmp_path, "download", torrent, "-d", "got", *named) as program:
            failed = program.told("webseed_failed")
        assert "certificate" in failed["reason"]
        done = run(tmp_path, "download", torrent, "-d", "got", *named, "--ca-file", authority.certificate)
    assert done.returncode == 0, done.stderr
    assert digest(tmp_path / "got" / "folder") == digest(tmp_path / "source" / "folder")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--webseed", "ftp://host.example/passkey/"), "only http, https"),
        (("--webseed", "files"), "not a URL"),
        (("--webseed", b"http://host.example/\xff".decode(errors="surrogateescape")), "--webseed"),
        (("--http-proxy", "socks5://host.example"), "only http"),
        (("--http-proxy", "host.example:3128"), "not a URL"),
        (("--ca-file", "nowhere.pem"), "nowhere.pem"),
    ],
)
def test_what_makes_no_sense_is_bad_usage(tmp_path: Path, torrent: Path, given: tuple[str, ...], said: str) -> None:
    """Said before anything is begun, without the URL's secrets."""
    done = run(tmp_path, "download", torrent, *given)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert "passkey" not in done.stderr


def test_a_file_without_certificates_is_one_clear_line(tmp_path: Path, torrent: Path) -> None:
    """It can be read, and is of no use."""
    done = run(tmp_path, "download", torrent, "--ca-file", torrent)
    assert (done.returncode, done.stderr) == (1, f"anabranch: {torrent}: no certificates in PEM\n")


def test_the_options_are_the_client_s_settings() -> None:
    """By other names, since they are said on a command line."""
    plain = Wishes(("a",), ".", None, (), None, (), "file", None, None, None, False, False, False, False)
    config = config_of(plain)
    assert (config.disable_webseeds, config.http_proxy, config.ca_file, config.ssrf_mitigation) == (
        (False, None, None, True)
    )
    chosen = Wishes(
        **{
            **vars(plain),
            "no_webseeds": True,
            "http_proxy": "http://me:secret@127.0.0.1:8080",
            "ca_file": "ca.pem",
            "allow_local_urls": True,
        }
    )
    config = config_of(chosen)
    assert (config.disable_webseeds, config.ca_file, config.ssrf_mitigation) == (True, "ca.pem", False)
    assert config.proxy is not None
    assert "secret" not in repr(chosen) + repr(config)
