"""Others at the work of `anabranch verify` and `create`: libtorrent, and bare hashlib as what two cores can do at most.

A program of its own: local_rivals.py JOB ARGUMENTS...; it ends with 0 if the work was done and came out right.

    recheck TORRENT DIR            libtorrent adds the torrent and hashes what is in DIR, with two hashing threads
    create PATH OUTPUT VERSION N   libtorrent makes a .torrent with pieces of N bytes; its Python binding has one thread
    hash PATH VERSION              two threads read a file and feed it to SHA-1 (v1), SHA-256 (v2) or both (hybrid)
    start [MODULE...]              import them: what it costs to be here
"""

from __future__ import annotations

import hashlib
import importlib
import itertools
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

HASHES = {"v1": ("sha1",), "v2": ("sha256",), "hybrid": ("sha1", "sha256")}
_BUFFER = 256 * 1024  # bytes; more is no faster
_JOB = 8 * 1024 * 1024  # bytes that a thread takes at a time


def recheck(torrent: str, data_dir: str) -> None:
    """Have libtorrent hash everything."""
    import libtorrent as lt

    session = lt.session(
        {
            "listen_interfaces": "127.0.0.1:0",
            "alert_mask": int(lt.alert.category_t.status_notification | lt.alert.category_t.error_notification),
            "enable_dht": False,
            "enable_lsd": False,
            "enable_upnp": False,
            "enable_natpmp": False,
            "hashing_threads": 2,
        }
    )
    params = lt.add_torrent_params()
    params.ti = lt.torrent_info(torrent)
    params.save_path = data_dir
    params.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)
    handle = session.add_torrent(params)
    while True:
        session.wait_for_alert(1000)
        heard = session.pop_alerts()
        if any(isinstance(alert, lt.torrent_checked_alert) for alert in heard):
            break
        if handle.status().errc.value():
            sys.exit(handle.status().errc.message())
    if not handle.status().is_seeding:
        sys.exit(f"only {handle.status().progress:.1%} is right")
    session.pause()
    os._exit(0)  # taking the session down is no part of the work


def create(path: str, output: str, version: str, piece_length: str) -> None:
    """Have libtorrent make a .torrent file."""
    import libtorrent as lt

    flags = {"v1": lt.create_torrent.v1_only, "v2": lt.create_torrent.v2_only, "hybrid": 0}[version]
    made = lt.create_torrent(lt.list_files(path), int(piece_length), flags)
    lt.set_piece_hashes(made, os.path.dirname(os.path.abspath(path)))
    Path(output).write_bytes(lt.bencode(made.generate()))


def hash_all(path: str, version: str) -> None:
    """Feed a file to hashlib in two threads, in large pieces and without a tree: no program can be faster with it."""
    length = os.stat(path).st_size
    jobs = iter(range(0, length, _JOB))
    lock = threading.Lock()
    hashed = itertools.count()

    def work() -> None:
        buffer = memoryview(bytearray(_BUFFER))
        with open(path, "rb", buffering=0) as file:
            while True:
                with lock:
                    begin = next(jobs, None)
                if begin is None:
                    return
                digests = [hashlib.new(name, usedforsecurity=False) for name in HASHES[version]]
                for at in range(begin, min(begin + _JOB, length), _BUFFER):
                    count = os.preadv(file.fileno(), [buffer], at)
                    for digest in digests:
                        digest.update(buffer[:count])
                next(hashed)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if next(hashed) != -(-length // _JOB):
        sys.exit("not all of it was hashed")


def start(*modules: str) -> None:
    """Import some modules, and nothing else."""
    for module in modules:
        importlib.import_module(module)


def main() -> None:
    """Do one job."""
    jobs: dict[str, Callable[..., None]] = {"recheck": recheck, "create": create, "hash": hash_all, "start": start}
    jobs[sys.argv[1]](*sys.argv[2:])


if __name__ == "__main__":
    main()
