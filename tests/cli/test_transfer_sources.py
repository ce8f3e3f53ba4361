"""download of links that name where the .torrent file may be had: a real program, and real servers on loopback."""

from __future__ import annotations

import json
from pathlib import Path

from anabranch.metainfo import Magnet, Metainfo, create
from anabranch.testing import WebServer
from programs import run
from small_servers import HttpServer, http_reply
from trees import digest, make_file

HERE = ("--bind", "127.0.0.2", "--port", "0")


def test_a_link_is_downloaded_from_servers_alone(tmp_path: Path) -> None:
    """One has the .torrent file, which names another that has the content; what fails is told without secrets."""
    make_file(tmp_path / "theirs" / "folder" / "a.bin", 200_000)
    with WebServer(tmp_path / "theirs") as seed:
        made = create(tmp_path / "theirs" / "folder", webseeds=[f"{seed.url}/"])
        with HttpServer(lambda at: http_reply(made) if at == "/a" else http_reply(b"", status="404 No")) as server:
            name = Metainfo.parse(made).info.v1
            link = str(Magnet(v1=name, sources=(f"{server.url}/s3cret/none", f"{server.url}/a")))
            done = run(tmp_path, "download", link, "-d", "got", *HERE, "--json")
            said = run(tmp_path, "download", link, "-d", "again", *HERE).stderr
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0
    assert digest(tmp_path / "got" / "folder") == digest(tmp_path / "theirs" / "folder")
    [failed] = [one for one in told if one["event"] == "source_failed"]
    assert failed == {
        "event": "source_failed",
        "torrent": str(name),
        "source": server.url,
        "reason": "the server answers 404",
        "seconds": None,
    }
    assert f"source {server.url}: the server answers 404\n" in said
    assert "s3cret" not in done.stdout + done.stderr + said


def test_a_link_that_turns_out_private_is_said_to_be_so(tmp_path: Path) -> None:
    """BEP 27: once its .torrent file has come, before which nobody knew."""
    make_file(tmp_path / "theirs" / "folder" / "a.bin", 20_000)
    with WebServer(tmp_path / "theirs") as seed:
        made = create(tmp_path / "theirs" / "folder", webseeds=[f"{seed.url}/"], private=True)
        with HttpServer(lambda _: http_reply(made)) as server:
            name = Metainfo.parse(made).info.v1
            link = str(Magnet(v1=name, sources=(f"{server.url}/a",)))
            done = run(tmp_path, "download", link, "-d", "got", *HERE, "--json")
            said = run(tmp_path, "download", link, "-d", "again", *HERE).stderr
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0
    [turned] = [one for one in told if one["event"] == "turned_private"]
    assert turned == {"event": "turned_private", "torrent": str(name), "candidates": 0, "peers": 0}
    assert "folder is private: only its trackers are asked for peers\n" in said
