"""Watch the trackers of all torrents of a client: tell what changes, why, since when, and what to do about it.

A tracker that fails once is nothing to wake anybody for: another is asked, and it is asked again by itself. So it is
told of when it has failed for a while.

python examples/tracker_monitor.py some.torrent "magnet:?xt=urn:btih:..." -d downloads --every 30
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from dataclasses import dataclass

import anabranch


@dataclass
class Trouble:
    """A tracker that fails."""

    error_type: str
    since: float
    told: bool = False


class Monitor:
    """What is known of the trackers of a client's torrents."""

    def __init__(self, client: anabranch.Client, patience: float) -> None:
        self.client = client
        self.patience = patience
        self.troubles: dict[tuple[anabranch.InfoHash, str], Trouble] = {}
        self.health = -1

    def look(self) -> None:
        """Poll all of them. This asks no tracker: the engine keeps pictures, to look at them costs next to nothing."""
        working, failing = 0, Counter[str]()
        for torrent in self.client.torrents:
            for status in torrent.tracker_statuses():
                key = (torrent.info_hash, status.url)
                if status.is_working:
                    working += 1
                    trouble = self.troubles.pop(key, None)
                    if trouble is not None and trouble.told:
                        lasted = status.at - trouble.since
                        print(f"{torrent.name}: {status.name} works again, after {lasted:.0f} s")
                elif status.error_type:  # neither: it was not asked yet, or is not while another one answers
                    failing[status.error_type] += 1
                    self.tell_if_it_lasts(key, torrent.name, status)
        asked = working + failing.total()
        health = 100 * working // asked if asked else -1
        if health != self.health:
            self.health = health
            causes = ", ".join(f"{count} {error_type}" for error_type, count in failing.most_common())
            print(f"health {health}%: {working} of {asked} trackers work{f'; {causes}' if causes else ''}", flush=True)

    def tell_if_it_lasts(self, key: tuple[anabranch.InfoHash, str], name: str, status: anabranch.TrackerStatus) -> None:
        """Say what is wrong, and what can be done about it, once; and again when it is something else."""
        trouble = self.troubles.get(key)
        if trouble is None or trouble.error_type != status.error_type:
            since = status.last_announce or status.at
            trouble = self.troubles[key] = Trouble(status.error_type, since if trouble is None else trouble.since)
        if not trouble.told and status.at - trouble.since >= self.patience:
            trouble.told = True
            # status.url has the user's passkey in it, status.name and status.last_error have not.
            print(f"{name}: {status.last_error} [{status.error_type}, for {status.at - trouble.since:.0f} s]")
            print(f"  {status.remedy}", flush=True)


def main() -> int:
    options = argparse.ArgumentParser(description="Watch trackers.")
    options.add_argument("torrents", nargs="+", help=".torrent files, their URLs or magnet links")
    options.add_argument("-d", "--data", default="downloads", help="where the files are")
    options.add_argument("--every", type=float, default=30.0, help="seconds from look to look")
    options.add_argument("--patience", type=float, default=300.0, help="seconds that a tracker may fail")
    options.add_argument("--looks", type=int, help="how often to look; for ever by default")
    options.add_argument("--bind", action="append", default=[], help="address to be at; all unless given")
    chosen = options.parse_args()

    # All trackers are asked, not only the first that answers: else nobody knows how the others are.
    config = anabranch.Config(data_dir=chosen.data, listen_host=tuple(chosen.bind), listen_port=0, announce_to_all=True)
    with anabranch.Client(config) as client:
        for source in chosen.torrents:
            client.add(source)  # a torrent that is live is announced, whether anything of it is wanted or not
        monitor = Monitor(client, chosen.patience)
        while chosen.looks is None or chosen.looks > 0:
            if chosen.looks is not None:
                chosen.looks -= 1
            time.sleep(chosen.every)
            monitor.look()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
