"""Download torrents from a plain, threaded program: wait for signals, look at the numbers, read a file.

python examples/download.py some.torrent "magnet:?xt=urn:btih:..." -d downloads --peer 192.0.2.7:42069
"""

from __future__ import annotations

import argparse

import anabranch
from anabranch.model import split_host_port


def main() -> int:
    options = argparse.ArgumentParser(description="Download torrents with threads.")
    options.add_argument("torrents", nargs="+", help=".torrent files, their URLs, magnet links or info hashes")
    options.add_argument("-d", "--data", default="downloads", help="where the files go")
    options.add_argument("--state", help="where progress is kept between runs")
    options.add_argument("--peer", action="append", default=[], type=split_host_port, help="IP:PORT to connect to")
    options.add_argument("--timeout", type=float, help="seconds to wait for all of it")
    options.add_argument("--bind", action="append", default=[], help="address to be at; all unless given")
    chosen = options.parse_args()

    config = anabranch.Config(
        data_dir=chosen.data, state_dir=chosen.state or "", listen_host=tuple(chosen.bind), listen_port=0
    )
    with anabranch.Client(config) as client:
        torrents = [client.add(path) for path in chosen.torrents]
        for torrent in torrents:
            torrent.add_peers(chosen.peer)
            torrent.download_all()

        # A signal is waited for in a thread with wait(), in a task with `await`. Ctrl-C ends the wait; the `with` then
        # saves what is there, and the next run goes on from it.
        for torrent in torrents:
            if not torrent.complete.wait(chosen.timeout):
                stats = torrent.stats()
                print(f"{torrent.name}: {stats.wanted_left} bytes missing, {stats.peers} peers")
                return 1
            print(f"{torrent.name}: complete, in {torrent.data_dir}")
            for file in torrent.files:
                with file.reader() as reader:
                    print(f"  {file.path}: {file.length} bytes, begins with {reader.read(8).hex() or 'nothing'}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
