"""A completion store as a program of its own, to be killed: it records groups of pieces, and says so after each.

Started by test_kill_completion.py with the state directory and the first piece. It runs until it is killed.
"""

from __future__ import annotations

import sys

from anabranch.model import InfoHash
from anabranch.storage import SessionStore, session_key

PIECES = 350_000
GROUP = 37


def main() -> None:
    """Record group after group; each third is taken back again."""
    directory, first = sys.argv[1], int(sys.argv[2])
    store = SessionStore(directory).completion(session_key(InfoHash(bytes(20)), directory))
    store.load(PIECES)
    for number in range(first, PIECES // GROUP):
        group = range(number * GROUP, (number + 1) * GROUP)
        store.record(group, ())
        if number % 3 == 2:
            store.record((), group)
        print(number, flush=True)


if __name__ == "__main__":
    main()
