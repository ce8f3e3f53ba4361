"""Send messages of your own through the peers of a torrent: an extension of the peer protocol (BEP 10).

Two clients in one program greet each other. Between machines it is the same: each runs one of them.

python examples/extension.py some.torrent
"""

from __future__ import annotations

import argparse
import tempfile
from queue import SimpleQueue

import anabranch

GREETING = "xx_greeting"  # by custom, two letters of the program's name come first


def client_in(folder: str, host: str) -> anabranch.Client:
    return anabranch.Client(anabranch.Config(data_dir=folder, state_dir=None, listen_host=(host,), listen_port=0))


def main() -> int:
    options = argparse.ArgumentParser(description="Two clients greet each other.")
    options.add_argument("torrent", help="a .torrent file")
    chosen = options.parse_args()
    answers: SimpleQueue[str] = SimpleQueue()

    def answer(torrent: anabranch.Torrent, peer: anabranch.Address, message: bytes) -> None:
        torrent.send_extension(peer, GREETING, b"good day, you said " + message)

    with (
        tempfile.TemporaryDirectory() as folder,
        client_in(folder, "127.0.0.1") as one,
        client_in(folder, "127.0.0.2") as two,
    ):
        two.extensions.register(GREETING, answer)
        one.extensions.register(GREETING, lambda torrent, peer, message: answers.put(message.decode()))
        introductions = one.events(anabranch.events.PeerIntroduced)
        two.add(chosen.torrent)
        torrent = one.add(chosen.torrent)
        torrent.download_all()
        torrent.add_peers(two.listen_addresses)

        # What a peer takes is known once it has introduced itself: events tell, and torrent.peer_extensions().
        for event in introductions:
            if GREETING in event.extensions:
                torrent.send_extension(event.peer, GREETING, b"hello")
                break
        print(answers.get(timeout=30))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
