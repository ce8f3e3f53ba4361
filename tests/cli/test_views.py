"""What is said of a torrent in one line, and where remarks go."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from anabranch.cli.views import JsonView, PlainView, Row, sentence, summary
from anabranch.model import InfoHash


def row(stage: str, state: str, *, total: int = 0, done: int = 0, peers: int = 0) -> Row:
    share = done / total if total else 0.0
    return Row(InfoHash(bytes(20)), "album", state, stage, done, total, share, 0.0, 0.0, peers, 0, None)


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        (row("learning", "no peers"), "album: waiting for metadata, no peers"),
        (row("learning", "metadata", peers=2), "album: waiting for metadata, 2 peers"),
        (row("learning", "hashes", total=9, peers=1), "album: waiting for piece hashes, 1 peer"),
        (row("live", "waiting", total=200, done=50, peers=1), "album: 25% of 200 B, 1 peer, waiting"),
        (row("failed", "failed"), "album: failed"),
    ],
)
def test_a_torrent_is_told_in_one_line(shown: Row, said: str) -> None:
    """No share of what is not known."""
    assert sentence(shown) == said


def test_web_seeds_are_told_beside_peers(capsys: pytest.CaptureFixture[str]) -> None:
    """How many of them give something, and what; programs get both numbers."""
    shown = replace(row("live", "5s left", total=200, done=50, peers=1), rate_down=3072.0)
    assert sentence(replace(shown, webseeds=2, rate_webseeds=2048.0)) == (
        "album: 25% of 200 B, down 3.0 KiB/s, 1 peer, 2 web seeds 2.0 KiB/s, 5s left"
    )
    assert sentence(replace(shown, peers=0, webseeds=1, rate_webseeds=512.0)).endswith("1 web seed 512 B/s, 5s left")
    assert summary([shown, replace(shown, webseeds=2)]).endswith("2 peers, 2 web seeds")
    assert summary([shown]).endswith("1 peer")
    JsonView().draw([replace(shown, webseeds=2, rate_webseeds=2048.4)])
    told = json.loads(capsys.readouterr().out)
    assert (told["webseeds"], told["rate_webseeds"], told["rate_down"]) == (2, 2048, 3072)


def test_nodes_of_the_dht_are_told_while_nobody_else_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever waits sees that somebody is asked; in the summary, and to programs, they are told always."""
    assert sentence(replace(row("learning", "no peers"), dht_nodes=0)).endswith("no peers, no DHT node")
    assert sentence(replace(row("learning", "no peers"), dht_nodes=None)).endswith("no peers")
    shown = replace(row("learning", "no peers"), dht_nodes=7)
    assert sentence(shown) == "album: waiting for metadata, no peers, 7 DHT nodes"
    assert sentence(replace(shown, peers=1)) == "album: waiting for metadata, 1 peer"
    assert summary([shown, shown]).endswith(", 0 peers, 7 DHT nodes")
    JsonView().draw([shown])
    assert json.loads(capsys.readouterr().out)["dht_nodes"] == 7


def test_a_torrent_that_is_learned_at_once_is_no_news(capsys: pytest.CaptureFixture[str]) -> None:
    """Like one of a .torrent file; checking is."""
    view = PlainView(quiet=False)
    view.draw([row("learning", "no peers")])
    view.draw([row("opening", "opening", total=9)])
    view.draw([row("live", "waiting", total=9)])
    assert capsys.readouterr().err == ""
    view.draw([row("checking", "checking", total=9)])
    assert capsys.readouterr().err.startswith("album: checked")


def test_a_remark_is_no_result(capsys: pytest.CaptureFixture[str]) -> None:
    """Lines of text go to stderr, unless quiet; programs are told in events only."""
    for view in (PlainView(quiet=False), PlainView(quiet=True), JsonView()):
        view.remark("by the way")
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", "by the way\n")
