"""Download a torrent from web servers, and say what each of them gave.

python examples/webseeds.py some.torrent -d downloads --webseed https://mirror.example/files/
"""

from __future__ import annotations

import argparse

import anabranch


def main() -> int:
    options = argparse.ArgumentParser(description="Download a torrent from web seeds.")
    options.add_argument("torrent", help=".torrent file, its URL, magnet link or info hash")
    options.add_argument("-d", "--data", default="downloads", help="where the files go")
    options.add_argument("--webseed", action="append", default=[], help="URL besides those that the torrent names")
    options.add_argument("--bind", action="append", default=[], help="address to be at; all unless given")
    chosen = options.parse_args()

    config = anabranch.Config(data_dir=chosen.data, listen_host=tuple(chosen.bind), listen_port=0)
    with anabranch.Client(config) as client:
        failures = client.events(anabranch.events.WebSeedFailed)
        torrent = client.add(chosen.torrent)
        torrent.add_webseeds(chosen.webseed)
        torrent.download_all()
        while not torrent.complete.wait(1.0):
            stats = torrent.stats()
            print(f"{stats.wanted_left} bytes missing, {stats.webseeds} web seeds give {stats.rate_webseeds:.0f} B/s")

        # Each happening was told once, however often it was tried again; what is secret in a URL is not in it.
        while len(failures):
            failed = failures.get()
            print(f"{failed.webseed}: {failed.reason}")
        for status in torrent.webseed_statuses():
            print(f"{status.name}: {status.state}, {status.downloaded} bytes")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
