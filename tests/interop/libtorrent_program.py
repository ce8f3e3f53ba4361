"""A libtorrent session as a program of its own: one JSON object a line in, one answer a line out.

Started by libtorrent_peer.py, so that its memory and CPU time are its own. libtorrent: rasterbar, PyPI, 2.1.1.
It stays where it is put: no DHT, no local discovery, no port mapping, no uTP, no trackers but those of the torrent,
unless its settings say otherwise. Of a DHT it knows the nodes that it is told of.
"""

from __future__ import annotations

import base64
import json
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import libtorrent as lt

ENCRYPTION = {  # policy towards those who dial us and those whom we dial
    "off": lt.enc_policy.pe_disabled,
    "allow": lt.enc_policy.pe_enabled,
    "require": lt.enc_policy.pe_forced,
}
ALERTS = (
    lt.alert.category_t.status_notification
    | lt.alert.category_t.error_notification
    | lt.alert.category_t.storage_notification
    | lt.alert.category_t.connect_notification
    | lt.alert.category_t.peer_notification
    | lt.alert.category_t.dht_notification
    | lt.alert.category_t.dht_operation_notification
)
KEPT_ALERTS = 200  # lines of history for whoever wonders why a test failed
CHECKING = (lt.torrent_status.checking_files, lt.torrent_status.checking_resume_data)


class Refused(Exception):
    """The request cannot be fulfilled; the program goes on."""


class Program:
    """The session, its torrents by info hash, and what it said lately."""

    def __init__(
        self, host: str, port: int, encryption: str, settings: dict[str, Any], as_strangers: bool = False
    ) -> None:
        where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self.alerts: list[str] = []
        self.torrents: dict[str, Any] = {}
        self.announced: list[tuple[str, str, int]] = []  # who announced itself by the DHT: hash, host, port
        pack: Any = {  # typed by the binding as a dictionary with its own keys only
            "listen_interfaces": where,
            "listen_system_port_fallback": False,
            "max_retry_port_bind": 0,
            "alert_mask": int(ALERTS),
            "alert_queue_size": 100_000,
            "enable_dht": False,
            "dht_bootstrap_nodes": "",
            "enable_lsd": False,
            "enable_upnp": False,
            "enable_natpmp": False,
            "enable_outgoing_utp": False,
            "enable_incoming_utp": False,
            "allow_multiple_connections_per_ip": True,
            "in_enc_policy": int(ENCRYPTION[encryption]),
            "out_enc_policy": int(ENCRYPTION[encryption]),
            "prefer_rc4": encryption == "require",
            "allowed_enc_level": int(lt.enc_level.rc4 if encryption == "require" else lt.enc_level.both),
            "connection_speed": 500,
            **settings,
        }
        self.session = lt.session(pack)
        if as_strangers:  # by default peers on local addresses are under no rate limit and need no slot
            all_alike = lt.ip_filter()
            for first, last in (("0.0.0.0", "255.255.255.255"), ("::", ":".join(["ffff"] * 8))):
                all_alike.add_rule(first, last, 1 << lt.session.global_peer_class_id)
            self.session.set_peer_class_filter(all_alike)
        self.until(self.is_listening, 10, "listening")

    def is_listening(self, heard: list[Any]) -> bool:
        """Whether the listener is open. A failure ends the waiting."""
        failed = [alert.message() for alert in heard if isinstance(alert, lt.listen_failed_alert)]
        if failed:
            raise Refused(failed[0])
        return any(isinstance(alert, lt.listen_succeeded_alert) for alert in heard)

    def until(self, is_so: Callable[[list[Any]], bool], timeout: float, what: str) -> None:
        """Wait until it is so, asking again whenever alerts come (it sees those) and every 50 ms."""
        deadline = time.monotonic() + timeout
        while True:
            heard = self.session.pop_alerts()
            told = [f"{type(alert).__name__}: {alert.message()}" for alert in heard]
            self.alerts = [*self.alerts, *told][-KEPT_ALERTS:]
            self.announced += [
                (str(alert.info_hash), str(alert.ip), alert.port)
                for alert in heard
                if isinstance(alert, lt.dht_announce_alert)
            ]
            if is_so(heard):
                return
            if time.monotonic() >= deadline:
                raise Refused(f"{what}: not within {timeout} s; lately: {self.alerts[-5:]}")
            self.session.wait_for_alert(50)

    def add(self, torrent: str, save_path: str, seed_mode: bool, timeout: float) -> str:
        """*torrent*: a magnet link, or a .torrent in base64. Comes back when what is there has been checked."""
        if torrent.startswith("magnet:"):
            params = lt.parse_magnet_uri(torrent)
        else:
            params = lt.add_torrent_params()
            params.ti = lt.torrent_info(base64.b64decode(torrent))
        params.save_path = save_path
        params.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)
        if seed_mode:
            params.flags |= lt.torrent_flags.seed_mode
        handle = self.session.add_torrent(params)
        self.until(lambda _: handle.status().state not in CHECKING, timeout, "checking")
        name = str(handle.info_hash())
        self.torrents[name] = handle
        return name

    def wait_finished(self, name: str, timeout: float) -> None:
        """Until all is there and on disk: finished is said before the last blocks are written."""
        handle = self.torrents[name]
        self.until(lambda _: handle.status().is_finished, timeout, "finished")
        handle.flush_cache()
        self.until(lambda heard: any(isinstance(alert, lt.cache_flushed_alert) for alert in heard), 30, "flushed")

    def stats(self, name: str) -> dict[str, Any]:
        """What is known of a torrent, its peers, and what this program has cost so far."""
        handle = self.torrents[name]
        status = handle.status()
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return {
            "state": str(status.state),
            "progress": status.progress,
            "error": status.errc.message() if status.errc.value() else "",
            "finished": status.is_finished,
            "pieces": status.num_pieces,
            "uploaded": status.total_payload_upload,
            "downloaded": status.total_payload_download,
            "failed": status.total_failed_bytes,
            "redundant": status.total_redundant_bytes,
            "cpu_seconds": usage.ru_utime + usage.ru_stime,
            "user_seconds": usage.ru_utime,
            "peak_memory": usage.ru_maxrss * 1024,
            "peers": [
                {
                    "host": peer.ip[0],
                    "port": peer.ip[1],
                    "client": peer.client.decode("utf-8", "replace"),
                    "peer_id": peer.pid.to_bytes().hex(),
                    "encrypted": bool(peer.flags & (lt.peer_info.rc4_encrypted | lt.peer_info.plaintext_encrypted)),
                    "outgoing": bool(peer.flags & lt.peer_info.local_connection),
                    "seed": bool(peer.flags & lt.peer_info.seed),
                    "uploaded": peer.total_upload,
                    "downloaded": peer.total_download,
                }
                for peer in handle.get_peer_info()
            ],
            "alerts": self.alerts,
        }

    def heard(self, kind: Any, timeout: float, what: str) -> Any:
        """The next alert of that kind."""
        found: list[Any] = []

        def is_there(alerts: list[Any]) -> bool:
            found.extend(alert for alert in alerts if isinstance(alert, kind))
            return bool(found)

        self.until(is_there, timeout, what)
        return found[0]

    def dht(self, what: str, timeout: float = 15, **request: Any) -> Any:
        """One question about or to the DHT; bytes are hex in both directions."""
        given = {name: bytes.fromhex(value) if isinstance(value, str) else value for name, value in request.items()}
        match what:
            case "node":
                self.session.add_dht_node(tuple(request["where"]))
            case "table":
                self.session.post_dht_stats()
                buckets = self.heard(lt.dht_stats_alert, timeout, what).routing_table
                return sum(bucket["num_nodes"] for bucket in buckets)
            case "announced":
                self.until(lambda _: True, timeout, what)
                return self.announced
            case "get_peers":
                self.session.dht_get_peers(lt.sha1_hash(given["info_hash"]))
                return self.heard(lt.dht_get_peers_reply_alert, timeout, what).peers()
            case "announce":
                self.session.dht_announce(lt.sha1_hash(given["info_hash"]), request["port"], request["flags"])
            case "put":
                target = self.session.dht_put_immutable_item(given["value"])
                return str(target), self.heard(lt.dht_put_alert, timeout, what).num_success
            case "put_signed":
                self.session.dht_put_mutable_item(given["secret"], given["key"], given["value"], given["salt"])
                stored = self.heard(lt.dht_put_alert, timeout, what)
                return stored.seq, stored.num_success
            case "get":
                self.session.dht_get_immutable_item(lt.sha1_hash(given["target"]))
                return lt.bencode(self.heard(lt.dht_immutable_item_alert, timeout, what).item).hex()
            case "get_signed":
                self.session.dht_get_mutable_item(given["key"], given["salt"])
                found = self.heard(lt.dht_mutable_item_alert, timeout, what)
                return lt.bencode(found.item).hex(), found.seq
            case "sample":
                where = tuple(request["where"])
                self.session.dht_sample_infohashes(where, lt.sha1_hash(given["target"]))
                told = self.heard(lt.dht_sample_infohashes_alert, timeout, what)
                return {
                    "samples": [str(each) for each in told.samples],
                    "total": told.num_infohashes,
                    "interval": str(told.interval),
                    "nodes": len(told.nodes),
                }
            case unknown:
                raise Refused(f"no such question: {unknown}")
        return None

    def answer(self, request: dict[str, Any]) -> Any:
        """Do what one line asks for."""
        match request.pop("do"):
            case "add":
                return self.add(**request)
            case "connect":
                self.torrents[request["name"]].connect_peer((request["host"], request["port"]))
            case "wait_finished":
                self.wait_finished(**request)
            case "stats":
                return self.stats(**request)
            case "dht":
                return self.dht(**request)
            case "settings":
                self.session.apply_settings(request["settings"])
            case unknown:
                raise Refused(f"no such request: {unknown}")
        return None


def main() -> None:
    """Say which port listens, then serve requests until the input ends."""
    try:
        program = Program(**json.loads(sys.argv[1]))
    except Refused as refusal:
        print(json.dumps({"error": str(refusal)}))
        return
    print(json.dumps({"answer": program.session.listen_port()}), flush=True)
    for line in sys.stdin:
        try:
            told = {"answer": program.answer(json.loads(line))}
        except (Refused, RuntimeError, KeyError) as refusal:  # RuntimeError: how libtorrent's binding tells its errors
            told = {"error": f"{type(refusal).__name__}: {refusal}"}
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
