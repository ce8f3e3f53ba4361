"""A seeder that is made to run out of descriptors: a program for test_entrance_io.py.

Each line on stdin is a wish, answered by one on stdout that tells the seconds of processor time it has used: "eat"
leaves the process no descriptor, "free" gives them back.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from pathlib import Path

from ours import address_of, make_client

LIMIT = 128


def eat() -> list[int]:
    """Open as many as there are."""
    eaten: list[int] = []
    try:
        while True:
            eaten.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        return eaten


def main(place: Path, torrent: Path, host: str) -> None:
    """Seed until stdin ends."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (LIMIT, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    eaten: list[int] = []
    with make_client(place, host) as client:
        assert client.add(torrent).checked.wait(30)
        print(address_of(client).port, flush=True)
        for line in sys.stdin:
            if line.strip() == "eat":
                eaten = eat()
            elif line.strip() == "free":
                for descriptor in eaten:
                    os.close(descriptor)
            print(time.process_time(), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
