"""A torrent of 350,000 pieces, added and dropped while 20 peers are at work for another.

A program of its own: local_large.py WHO LARGE OTHER PLACE. WHO is anabranch, or libtorrent, which has nothing else to
do; LARGE and OTHER are .torrent files; PLACE has the data of OTHER in `seed` and takes what is fetched. The peers are
a process of their own, started here: local_large.py seeders OTHER PLACE.

How long turns last is what the engine logs of slow ones, with the limit set to a few milliseconds for this.
"""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

SEEDERS = 20
SEEDER_RATE = 3_000_000  # bytes per second each: two cores have time left beside it
NOTICED = 0.002  # seconds; a shorter turn is not looked at
PATIENCE = 60.0  # seconds


class Longest(logging.Handler):
    """Hears of turns, and keeps the longest: its milliseconds, and what the log said of it."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.milliseconds = NOTICED * 1000
        self.said = ""

    def emit(self, record: logging.LogRecord) -> None:
        """See logging.Handler."""
        found = re.match(r"slow turn milliseconds=(\d+)", said := record.getMessage())
        if found is None:
            print(said, file=sys.stderr)
        elif int(found[1]) > self.milliseconds:
            self.milliseconds, self.said = int(found[1]), said


def seeders(other: str, place: str) -> None:
    """Twenty clients that serve slowly, each at an address of its own, until our stdin ends. One line says where."""
    from anabranch import Client, Config

    resume: bytes | None = None  # the first hashes what is there, the others believe it
    with ExitStack() as stack:
        addresses = []
        for number in range(SEEDERS):
            config = Config(
                data_dir=Path(place) / "seed",
                state_dir=None,
                listen_host=(f"127.0.2.{number + 1}",),
                listen_port=0,
                disable_trackers=True,
                upload_rate=SEEDER_RATE,
            )
            client = stack.enter_context(Client(config))
            torrent = client.add(other, resume=resume)
            if not torrent.checked.wait(PATIENCE):
                sys.exit("a seeder was not ready in time")
            resume = torrent.resume_data()
            addresses += [(str(address.host), address.port) for address in client.listen_addresses]
        print(json.dumps(addresses), flush=True)
        sys.stdin.read()


def anabranch(large: str, other: str, place: str) -> dict[str, float]:
    """Ours, with the 20 peers."""
    from anabranch import Client, Config, Priority
    from anabranch.engine import turn_io

    turn_io.SLOW_TURN = NOTICED
    longest = Longest()
    logging.getLogger("anabranch").addHandler(longest)
    config = Config(
        data_dir=Path(place) / "data",
        state_dir=Path(place) / "state",
        listen_host=("127.0.0.1",),
        listen_port=0,
        disable_trackers=True,
        dial_rate=1000.0,
    )
    crowd = subprocess.Popen(
        [sys.executable, "-P", __file__, "seeders", other, place],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with crowd, Client(config) as client:
        try:
            assert crowd.stdout is not None
            busy = client.add(other)
            busy.download_all()
            busy.add_peers([(host, port) for host, port in json.loads(crowd.stdout.readline())])
            until = time.monotonic() + PATIENCE
            while busy.stats().peers < SEEDERS or not busy.stats().downloaded:
                if time.monotonic() > until:
                    sys.exit(f"{busy.stats().peers} of {SEEDERS} peers came")
                time.sleep(0.05)
            time.sleep(0.5)
            alone, longest.milliseconds = longest.milliseconds, NOTICED * 1000

            had, begun = busy.stats().downloaded, time.perf_counter()
            torrent = client.add(large)
            if not torrent.checked.wait(PATIENCE):
                sys.exit("the large torrent was not ready in time")
            added = time.perf_counter()
            torrent.download_all()
            wanted = time.perf_counter()
            time.sleep(1.0)
            if torrent.stats().wanted != torrent.length:
                sys.exit("the large torrent is not wanted whole a second after it was asked for")
            changing = time.perf_counter()
            torrent.set_priorities([Priority.HIGH])
            changed = time.perf_counter()
            time.sleep(1.0)
            dropping = time.perf_counter()
            torrent.drop()
            dropped = time.perf_counter()
            if not torrent.closed.wait(PATIENCE):
                sys.exit("the large torrent did not close")
            closed = time.perf_counter()
            if busy.stats().complete or busy.stats().peers < SEEDERS:
                sys.exit("the other torrent was not at work all the time")
            moved = busy.stats().downloaded - had
        finally:
            crowd.kill()
    print(f"the longest: {longest.said}", file=sys.stderr)
    return {
        "add s": added - begun,
        "want all ms": (wanted - added) * 1000,
        "change priority ms": (changed - changing) * 1000,
        "drop ms": (dropped - dropping) * 1000,
        "closed after ms": (closed - dropping) * 1000,
        "longest turn ms": longest.milliseconds,
        "longest turn before ms": alone,
        "meanwhile MB/s": moved / (closed - begun) / 1e6,
    }


def libtorrent(large: str, other: str, place: str) -> dict[str, float]:
    """libtorrent with nothing else to do: what the same costs where there are no turns."""
    import libtorrent as lt

    session = lt.session(
        {
            "listen_interfaces": "127.0.0.1:0",
            "alert_mask": int(lt.alert.category_t.status_notification | lt.alert.category_t.error_notification),
            "enable_dht": False,
            "enable_lsd": False,
            "enable_upnp": False,
            "enable_natpmp": False,
        }
    )

    def wait(kind: type) -> None:
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            session.wait_for_alert(1000)
            if any(isinstance(alert, kind) for alert in session.pop_alerts()):
                return
        sys.exit(f"no {kind.__name__} came")

    begun = time.perf_counter()
    params = lt.add_torrent_params()
    params.ti = lt.torrent_info(large)
    params.save_path = place
    params.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)
    handle = session.add_torrent(params)
    wait(lt.torrent_checked_alert)
    added = time.perf_counter()
    session.remove_torrent(handle)
    dropped = time.perf_counter()
    wait(lt.torrent_removed_alert)
    return {
        "add s": added - begun,
        "drop ms": (dropped - added) * 1000,
        "closed after ms": (time.perf_counter() - added) * 1000,
    }


def main() -> None:
    """Measure one of them, or serve."""
    if sys.argv[1] == "seeders":
        seeders(*sys.argv[2:])
    else:
        print(json.dumps({"anabranch": anabranch, "libtorrent": libtorrent}[sys.argv[1]](*sys.argv[2:])))


if __name__ == "__main__":
    main()
