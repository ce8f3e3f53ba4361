"""What a client's settings are unless somebody says so, and what they must not be."""

from __future__ import annotations

from dataclasses import fields

import pytest

from anabranch.engine.choking import OPTIMISTIC_EVERY
from anabranch.engine.config import Config
from anabranch.engine.queueing import REQQ
from anabranch.engine.snapshots import FRESH
from anabranch.engine.state import Profile
from anabranch.engine.ticking import ZOMBIE_AFTER
from anabranch.engine.turn_io import SLOW_TURN
from anabranch.engine.unchoking import CREDIT
from anabranch.engine.worst import MOST_UNASKED, OLD
from anabranch.model import BLOCK_SIZE, InputRefused
from anabranch.picker.window import FLOOR
from anabranch.wire.connection import KEEPALIVE_AFTER
from anabranch.wire.metadata import MAX_METADATA


def test_figures_are_the_go_engine_s_unless_a_decision_says_why_not() -> None:
    """One that changes here is to be found in docs/decisions."""
    config = Config()
    [reqq] = [field.default for field in fields(Profile) if field.name == "reqq"]
    assert (config.established_connections, config.half_open_connections) == (50, 25)
    assert (config.total_half_open_connections, config.torrent_peers_high_water) == (100, 500)
    assert (config.dial_rate, config.nominal_dial_timeout, config.min_dial_timeout) == (10, 20, 3)
    assert (config.handshake_timeout, KEEPALIVE_AFTER) == (4, 60)
    assert (config.max_unverified_bytes, MAX_METADATA) == (64 << 20, 16 << 20)
    assert (BLOCK_SIZE, FLOOR, reqq, REQQ) == (16 << 10, 4, 250, 1024)
    assert (ZOMBIE_AFTER, OPTIMISTIC_EVERY, CREDIT, FRESH) == (120, 30, 100 << 10, 0.2)
    assert (MOST_UNASKED, OLD) == (6 * BLOCK_SIZE, 60)
    assert config.piece_hashers_per_torrent == 2
    assert SLOW_TURN == 0.05


def test_settings_that_make_no_sense_are_refused_where_they_are_made() -> None:
    """With what was found and what is due."""
    with pytest.raises(InputRefused, match="a peer id has 20 bytes, not 3"):
        Config(peer_id=b"abc")
    with pytest.raises(InputRefused, match="off, allow, prefer or require, not 'perhaps'"):
        Config(encryption="perhaps")
    with pytest.raises(InputRefused, match="storage is file, mmap, sqlite, cache, memory or a URL, not 'tape'"):
        Config(storage="tape")
    for files_only in ({"incomplete_dir": "x"}, {"preallocate": True}):
        with pytest.raises(InputRefused, match="for what is stored in files"):
            Config(storage="sqlite", **files_only)
    with pytest.raises(InputRefused, match="room for at least a byte, not 0"):
        Config(storage_capacity=0)
    with pytest.raises(InputRefused, match="storage_capacity is for sqlite and cache"):
        Config(storage="mmap", storage_capacity=1 << 30)
    with pytest.raises(InputRefused, match=r"listen_host is a tuple of addresses: \('127.0.0.1',\)"):
        Config(listen_host="127.0.0.1")  # type: ignore[arg-type]  # what people write
    assert Config(listen_host=("127.0.0.1",)).listen_host == ("127.0.0.1",)
    for url in ("proxy.example:3128", "socks5://proxy.example:1080", "https://proxy.example", "", "http://\ud800/"):
        with pytest.raises(InputRefused, match="http_proxy is http://HOST:PORT: "):
            Config(http_proxy=url)


def test_web_seeds_are_asked_and_urls_judged_unless_somebody_says_otherwise() -> None:
    """No proxy but the one that is named; its password is in no repr."""
    config = Config()
    assert (config.disable_webseeds, config.ssrf_mitigation) == (False, True)
    assert (config.http_proxy, config.proxy, config.ca_file) == (None, None, None)
    through = Config(http_proxy="http://me:secret@proxy.example:3128")
    assert through.proxy is not None
    assert (through.proxy.host, through.proxy.port, through.proxy.login) == ("proxy.example", 3128, "me:secret")
    assert "secret" not in repr(through)
