"""A service with many torrents: one feed of events, numbers polled for all, and torrents moved to another machine.

Every torrent in a folder is downloaded. Each that is complete is handed over: its resume data are written beside its
.torrent file, and with both and the files another machine goes on without hashing (see adopt()).

    python examples/service.py torrents/ -d downloads --peer 192.0.2.7:42069
    python examples/service.py torrents/ -d copied --adopt
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import anabranch
from anabranch.model import split_host_port


def hand_over(torrent: anabranch.Torrent, place: Path) -> None:
    """Write down what another machine needs, and forget the torrent here; its files stay."""
    place.write_bytes(torrent.resume_data())
    torrent.drop().wait(10)
    print(f"{torrent.name}: handed over")


def serve(client: anabranch.Client, folder: Path, peers: list[tuple[str, int]], timeout: float) -> int:
    """Download all and hand each over when it is complete. Answers how many were not in time."""
    feed = client.events()
    places = {}
    for path in sorted(folder.glob("*.torrent")):
        torrent = client.add(path)
        places[torrent.info_hash] = path.with_suffix(".resume")
        torrent.add_peers(peers)
        torrent.download_all()
    deadline = time.monotonic() + timeout
    next_look = time.monotonic()
    while client.torrents and time.monotonic() < deadline:
        if time.monotonic() >= next_look:
            next_look += 1.0
            look(client)
        try:
            event = feed.get(timeout=0.2)
        except TimeoutError:
            continue
        match event:
            case anabranch.events.Completed():
                finished = client.get(event.torrent)
                if finished is not None:
                    hand_over(finished, places[event.torrent])
            case anabranch.events.Failed():  # tried again by itself; a service would tell somebody
                print(f"{event.torrent}: {event.error}")
            case anabranch.events.PeerBanned():
                print(f"{event.host} sent wrong data")
    return len(client.torrents)


def look(client: anabranch.Client) -> None:
    """The numbers, as a service would put them into its monitoring. Takes no turn per torrent."""
    stats = client.stats()
    print(f"{stats.torrents} torrents, {stats.peers} peers, {stats.rate_down / 2**20:.1f} MiB/s down")
    for one in client.stats_all():
        print(f"  {one.name}: {one.stage}, {one.pieces_complete} of {one.pieces} pieces")


def adopt(client: anabranch.Client, folder: Path) -> int:
    """Go on with what another machine handed over. Answers how many torrents are not complete here."""
    torrents = [
        client.add(path, resume=path.with_suffix(".resume").read_bytes()) for path in sorted(folder.glob("*.torrent"))
    ]
    lacking = 0
    for torrent in torrents:
        torrent.checked.wait(60)
        complete = torrent.complete.wait(5)
        lacking += not complete
        print(f"{torrent.name}: {'complete' if complete else 'not complete'}, not one piece hashed")
    return lacking


def main() -> int:
    options = argparse.ArgumentParser(description="Many torrents in one program.")
    options.add_argument("folder", type=Path, help="directory with .torrent files")
    options.add_argument("-d", "--data", default="downloads", help="where the files go")
    options.add_argument("--state", help="where progress is kept between runs")
    options.add_argument("--peer", action="append", default=[], type=split_host_port, help="IP:PORT to connect to")
    options.add_argument("--adopt", action="store_true", help="go on with what was handed over")
    options.add_argument("--timeout", type=float, default=3600.0, help="seconds for all of it")
    options.add_argument("--bind", action="append", default=[], help="address to be at; all unless given")
    chosen = options.parse_args()

    config = anabranch.Config(
        data_dir=chosen.data, state_dir=chosen.state or "", listen_host=tuple(chosen.bind), listen_port=0
    )
    with anabranch.Client(config) as client:
        lacking = (
            adopt(client, chosen.folder) if chosen.adopt else serve(client, chosen.folder, chosen.peer, chosen.timeout)
        )
    return 1 if lacking else 0


if __name__ == "__main__":
    raise SystemExit(main())
