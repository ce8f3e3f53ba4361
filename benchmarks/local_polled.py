"""A download at full speed while a thread of the user asks 500 times a second how it goes.

A program of its own: local_polled.py WHO RATE TORRENT DATA HOST PORT. WHO is anabranch or libtorrent; RATE is how
many times a second (0: never); HOST and PORT are the seeder's. It tells in a line of JSON how fast it was from the dial
to the last byte on disk, and how long the calls took that need the engine's attention; calls that never wait are made
in between.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from itertools import cycle
from pathlib import Path
from statistics import median, quantiles
from threading import Event, Thread

PATIENCE = 300.0  # seconds


class Poller(Thread):
    """Calls the functions in turn, so many times a second; one that is late is left out, not made up for.

    Args:
        rate: Calls per second.
        attended: Those that need the engine's attention: their times are kept.
        free: Those that do not.
    """

    def __init__(
        self, rate: float, attended: Sequence[Callable[[], object]], free: Sequence[Callable[[], object]]
    ) -> None:
        super().__init__(daemon=True)
        self._pause = 1.0 / rate
        self._calls = [*((call, True) for call in attended), *((call, False) for call in free)]
        self._ended = Event()
        self.waits: list[float] = []  # seconds
        self.count = 0

    def run(self) -> None:
        """See threading.Thread."""
        clock = time.perf_counter
        due = clock()
        for call, kept in cycle(self._calls):
            due = max(due + self._pause, clock() - self._pause)
            if self._ended.wait(max(due - clock(), 0.0)):
                return
            begun = clock()
            call()
            if kept:
                self.waits.append(clock() - begun)
            self.count += 1

    def stop(self) -> None:
        """Call nothing any more."""
        self._ended.set()
        self.join()


def polled(poller: Poller | None, length: int, download: Callable[[], None]) -> dict[str, float]:
    """Download, with the poller at it if there is one."""
    if poller is not None:
        poller.start()
    begun = time.perf_counter()
    download()
    seconds = time.perf_counter() - begun
    told = {"MB/s": length / seconds / 1e6}
    if poller is not None:
        poller.stop()
        if len(poller.waits) < 20:
            sys.exit(f"only {len(poller.waits)} calls in {seconds:.3f} s")
        told["median wait ms"] = median(poller.waits) * 1000
        told["p99 wait ms"] = quantiles(poller.waits, n=100)[98] * 1000
        told["longest wait ms"] = max(poller.waits) * 1000
        told["polls/s"] = poller.count / seconds
    return told


def anabranch(rate: float, torrent: str, data: str, host: str, port: int) -> dict[str, float]:
    """Ours, through the public door."""
    from anabranch import Client, Config

    config = Config(
        data_dir=data,
        state_dir=Path(data) / "state",
        listen_host=("127.0.0.1",),
        listen_port=0,
        disable_trackers=True,
        encryption="off",
    )
    with Client(config) as client:
        added = client.add(torrent)
        added.checked.wait(PATIENCE)
        added.download_all()
        attended = (added.stats, added.peers, client.stats_all)
        poller = Poller(rate, attended, (added.cached_stats,)) if rate else None

        def download() -> None:
            added.add_peers([(host, port)])
            if not added.complete.wait(PATIENCE):
                sys.exit("it was not complete in time")

        return polled(poller, added.length, download)


def libtorrent(rate: float, torrent: str, data: str, host: str, port: int) -> dict[str, float]:
    """libtorrent: every call to a handle waits for its network thread."""
    import libtorrent as lt

    categories = lt.alert.category_t
    session = lt.session(
        {
            "listen_interfaces": "127.0.0.1:0",
            "alert_mask": int(categories.status_notification | categories.storage_notification),
            "enable_dht": False,
            "enable_lsd": False,
            "enable_upnp": False,
            "enable_natpmp": False,
            "enable_outgoing_utp": False,
            "enable_incoming_utp": False,
            "out_enc_policy": int(lt.enc_policy.pe_disabled),
        }
    )

    def wait(kind: type) -> None:
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            session.wait_for_alert(1000)
            if any(isinstance(alert, kind) for alert in session.pop_alerts()):
                return
        sys.exit(f"no {kind.__name__} came")

    params = lt.add_torrent_params()
    params.ti = lt.torrent_info(torrent)
    params.save_path = data
    params.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)
    handle = session.add_torrent(params)
    wait(lt.torrent_checked_alert)
    attended = (handle.status, handle.get_peer_info, lambda: session.get_torrent_status(lambda status: True, 0))
    poller = Poller(rate, attended, (handle.is_valid,)) if rate else None

    def download() -> None:
        handle.connect_peer((host, port))
        wait(lt.torrent_finished_alert)
        handle.flush_cache()
        wait(lt.cache_flushed_alert)

    return polled(poller, params.ti.total_size(), download)


def main() -> None:
    """Measure one of them."""
    who, rate, torrent, data, host, port = sys.argv[1:]
    work = {"anabranch": anabranch, "libtorrent": libtorrent}[who]
    print(json.dumps(work(float(rate), torrent, data, host, int(port))))


if __name__ == "__main__":
    main()
