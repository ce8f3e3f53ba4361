"""libtorrent sessions (rasterbar, PyPI) as a program of their own: `python libtorrent_program.py JSON`.

The argument has `torrent` (path), `data` (directory), `hosts` (a session for each), `seed`, `peers` to dial, `rc4`,
`settings` beside or instead of those here, and `as_strangers`: local addresses are like all others. Settings are
libtorrent's own but for what keeps it on loopback and TCP. It tells in JSON lines where it listens once everything is
checked, and `complete` once all is flushed to the files: libtorrent says that a torrent is finished before its last
blocks are written.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import libtorrent as lt

ALERTS = lt.alert.category_t.status_notification | lt.alert.category_t.error_notification
ALERTS |= lt.alert.category_t.storage_notification
LISTEN_WITHIN = 20_000  # milliseconds
NO_PLUGINS = 0  # without peer exchange: who is not given as a peer is not found


@dataclass(frozen=True)
class Task:
    """What the argument says."""

    torrent: str
    data: str
    hosts: Sequence[str]
    seed: bool
    peers: Sequence[tuple[str, int]] = ()
    rc4: bool = False
    settings: dict[str, Any] = field(default_factory=dict)
    as_strangers: bool = False


def session(host: str, task: Task) -> Any:
    """A session that listens at any port of *host* and nowhere else."""
    policy = lt.enc_policy.pe_forced if task.rc4 else lt.enc_policy.pe_disabled
    pack: Any = {  # typed by the binding as a dictionary with its own keys only
        "listen_interfaces": f"{host}:0",
        "outgoing_interfaces": host,
        "alert_mask": int(ALERTS),
        "enable_dht": False,
        "enable_lsd": False,
        "enable_upnp": False,
        "enable_natpmp": False,
        "enable_outgoing_utp": False,
        "enable_incoming_utp": False,
        "allow_multiple_connections_per_ip": True,
        "in_enc_policy": int(policy),
        "out_enc_policy": int(policy),
        "prefer_rc4": task.rc4,
        "allowed_enc_level": int(lt.enc_level.rc4 if task.rc4 else lt.enc_level.both),
        **task.settings,
    }
    made = lt.session(pack, NO_PLUGINS)
    if task.as_strangers:  # by default peers on local addresses are under no rate limit and need no slot
        everybody = lt.ip_filter()
        everybody.add_rule("0.0.0.0", "255.255.255.255", 1 << lt.session.global_peer_class_id)
        made.set_peer_class_filter(everybody)
    return made


def wait(one: Any, is_it: Callable[[Any], object], patience: int = 1 << 30) -> Any:
    """The first alert of which *is_it* is true; exits with libtorrent's words for an error, or after *patience* ms."""
    while one.wait_for_alert(patience):
        for alert in one.pop_alerts():
            if isinstance(alert, (lt.listen_failed_alert, lt.torrent_error_alert, lt.file_error_alert)):
                sys.exit(alert.message())
            if is_it(alert):
                return alert
    sys.exit(f"libtorrent was silent for {patience} ms")


def add(one: Any, task: Task) -> Any:
    """The torrent in that session, with what is there checked."""
    wait(one, lambda alert: isinstance(alert, lt.listen_succeeded_alert), LISTEN_WITHIN)
    params = lt.add_torrent_params()
    params.ti = lt.torrent_info(task.torrent)
    params.save_path = task.data
    params.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)
    handle = one.add_torrent(params)
    wait(one, lambda alert: isinstance(alert, lt.torrent_checked_alert))
    return handle


def tell(**what: Any) -> None:
    """One line for the harness."""
    print(json.dumps(what), flush=True)


def main() -> None:
    """Serve until killed; with `seed` false, fetch first."""
    task = Task(**json.loads(sys.argv[1]))
    sessions = [session(host, task) for host in task.hosts]
    handles = [add(one, task) for one in sessions]
    tell(listen=[(host, one.listen_port()) for host, one in zip(task.hosts, sessions, strict=True)])
    for handle in handles:
        for host, port in task.peers:
            handle.connect_peer((host, port))
    if not task.seed:
        for one, handle in zip(sessions, handles, strict=True):
            wait(one, lambda alert: isinstance(alert, lt.torrent_finished_alert))
            handle.flush_cache()
            wait(one, lambda alert: isinstance(alert, lt.cache_flushed_alert))
        tell(complete=True)
    for one in sessions:
        wait(one, lambda alert: False)


if __name__ == "__main__":
    main()
