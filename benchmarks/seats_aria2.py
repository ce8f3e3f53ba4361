"""aria2c. It cannot be told of a peer, so a tracker of ours tells it; a hook tells us when it is complete."""

from __future__ import annotations

from collections.abc import Sequence

from .announce import announcing
from .gauge import Address
from .program import installed
from .seats import Seat, free_port, is_listening

MISSING = installed("aria2c")


class Aria2(Seat):
    """aria2c with its defaults, but for what keeps it on loopback and TCP."""

    def seed(self, peers: Sequence[Address] = ()) -> None:
        """As of every seat."""
        self._run(str(self.job.content.parent), "--check-integrity=true", peers=peers)
        self.until(lambda: is_listening(self.addresses[0]), 60, "listening")  # it does once it has checked

    def fetch(self, peers: Sequence[Address]) -> None:
        """As of every seat."""
        self._run(str(self.data), peers=peers)

    def _run(self, data: str, *more: str, peers: Sequence[Address]) -> None:
        host = self.host
        self.addresses = [(host, free_port(host))]
        hook = self.place / "complete.sh"
        hook.write_text("#!/bin/sh\necho complete\n")
        hook.chmod(0o755)
        crypto = ["--bt-force-encryption=true"] if self.job.rc4 else ["--bt-min-crypto-level=plain"]
        tracker = [f"--bt-tracker={announcing(peers)}"] if peers else []
        self.start(
            "aria2c",
            "--no-conf=true",
            f"--dir={data}",
            f"--interface={host}",
            f"--listen-port={self.addresses[0][1]}",
            "--disable-ipv6=true",
            "--enable-dht=false",
            "--enable-dht6=false",
            "--enable-peer-exchange=false",
            "--bt-enable-lpd=false",
            "--seed-ratio=0.0",  # for ever
            "--file-allocation=none",  # quickest here: nothing is written twice
            "--summary-interval=0",
            "--quiet=true",
            f"--on-bt-download-complete={hook}",
            *crypto,
            *tracker,
            *more,
            str(self.job.torrent),
        )

    def hear(self, line: str) -> None:
        """As of every program."""
        if line.strip() == "complete":
            self._complete.set()
