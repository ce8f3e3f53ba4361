"""Ten thousand idle torrents in one process. A program of its own: local_many.py WHO STAGE TORRENTS PLACE.

    WHO       anabranch or libtorrent
    STAGE     fresh: add the files in the directory TORRENTS; restored: begin with what the first left in PLACE
    PLACE     where data would be, and where state is

Nothing is there of the torrents' data, nothing is wanted, nobody is asked for peers. It tells in a line of JSON how
fast they were added (until each is past its opening), what the process has grown by, and how long all their numbers
take. Ours does what docs/decisions/0011 advises a service to do: the collector is off until all are there, and then
leaves them alone; libtorrent's torrents are no objects of Python.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

TIMES = 5  # that all the numbers are asked for


def resident() -> int:
    """Bytes of this process that are in memory."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))


def anabranch(stage: str, torrents: list[Path], place: Path) -> dict[str, float]:
    """Ours, through the public door."""
    from anabranch import Client, Config

    config = Config(
        data_dir=place / "data",
        state_dir=place / "state",
        listen_host=("127.0.0.1",),
        listen_port=0,
        disable_trackers=True,
    )
    with Client(config) as client:
        before, begun = resident(), time.perf_counter()
        gc.disable()
        if stage == "fresh":
            for path in torrents:
                client.add(path)
        else:
            client.restore()
        while any(one.stage != "live" for one in client.stats_all()):
            time.sleep(0.1)  # to look at all is work, too
        gc.collect()
        gc.freeze()
        gc.enable()
        seconds, after = time.perf_counter() - begun, resident()
        if len(client.torrents) != len(torrents):
            sys.exit(f"{len(client.torrents)} of {len(torrents)} torrents are there")
        asked = timed(client.stats_all)
        settled = resident()
        begun = time.perf_counter()
    return {
        "torrents/s": len(torrents) / seconds,
        "KiB each": (max(settled, after) - before) / len(torrents) / 1024,
        "all stats ms": asked * 1000,
        "close s": time.perf_counter() - begun,
    }


def libtorrent(stage: str, torrents: list[Path], place: Path) -> dict[str, float]:
    """libtorrent; what it restores from is its own resume data with the info dictionary in it, a file for each."""
    import libtorrent as lt

    def parameters(path: Path) -> Any:
        if stage == "fresh":
            params = lt.add_torrent_params()
            params.ti = lt.torrent_info(str(path))
        else:
            params = lt.read_resume_data((place / "state" / path.name).read_bytes())
        params.save_path = str(place / "data")
        params.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)
        params.flags |= lt.torrent_flags.default_dont_download
        return params

    session = lt.session(
        {
            "listen_interfaces": "127.0.0.1:0",
            "alert_mask": int(lt.alert.category_t.error_notification | lt.alert.category_t.storage_notification),
            "alert_queue_size": 10 * len(torrents),
            "enable_dht": False,
            "enable_lsd": False,
            "enable_upnp": False,
            "enable_natpmp": False,
        }
    )
    checking = (lt.torrent_status.checking_files, lt.torrent_status.checking_resume_data)

    def stats() -> list[Any]:
        return session.get_torrent_status(lambda status: True, 0)

    before, begun = resident(), time.perf_counter()
    for path in torrents:
        session.async_add_torrent(parameters(path))
    while len(found := stats()) < len(torrents) or any(status.state in checking for status in found):
        time.sleep(0.1)
    seconds = time.perf_counter() - begun
    del found
    after = resident()
    asked = timed(stats)
    if stage == "fresh":
        (place / "state").mkdir(exist_ok=True)
        names = {str(lt.torrent_info(str(path)).info_hash()): path.name for path in torrents}
        for handle in session.get_torrents():
            handle.save_resume_data(lt.save_resume_flags_t.save_info_dict)
        left = len(torrents)
        while left:
            session.wait_for_alert(1000)
            for alert in session.pop_alerts():
                if isinstance(alert, lt.save_resume_data_alert):
                    saved = lt.write_resume_data_buf(alert.params)
                    (place / "state" / names[str(alert.handle.info_hash())]).write_bytes(saved)
                    left -= 1
                elif isinstance(alert, lt.save_resume_data_failed_alert):
                    sys.exit(alert.message())
    return {
        "torrents/s": len(torrents) / seconds,
        "KiB each": (after - before) / len(torrents) / 1024,
        "all stats ms": asked * 1000,
    }


def timed(ask: Callable[[], object]) -> float:
    """Seconds that it takes, the median of some times."""
    taken = []
    for _ in range(TIMES):
        begun = time.perf_counter()
        ask()
        taken.append(time.perf_counter() - begun)
    return median(taken)


def main() -> None:
    """Measure one stage of one program."""
    who, stage, torrents, place = sys.argv[1:]
    every = sorted(Path(torrents).iterdir())
    print(json.dumps({"anabranch": anabranch, "libtorrent": libtorrent}[who](stage, every, Path(place))))


if __name__ == "__main__":
    main()
