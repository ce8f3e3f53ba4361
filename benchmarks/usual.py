"""A .torrent file like those that people have: what torrents are made of where it only matters how many there are."""

from __future__ import annotations

from random import Random

from anabranch.bencode import encode

PIECE = 1024 * 1024  # bytes


def usual_torrent(number: int) -> bytes:
    """One with 1 to 20 files, some 1,000 pieces of 1 MiB whose hashes nothing has, and trackers; always the same."""
    draw = Random(number)
    pieces = draw.randint(800, 1200)
    left = pieces * PIECE - draw.randrange(PIECE)
    files = []
    for file in range(draw.randint(0, 19)):
        length = draw.randrange(1, left // 4)
        left -= length
        files.append({b"length": length, b"path": [b"folder %d" % (file % 3), b"a file with number %d.bin" % file]})
    files.append({b"length": left, b"path": [b"the rest of it.bin"]})
    info: dict[bytes, object] = {
        b"name": b"Some content with a usual name, number %d" % number,
        b"piece length": PIECE,
        b"pieces": draw.randbytes(20 * pieces),
    }
    if len(files) == 1:
        info[b"length"] = left
    else:
        info[b"files"] = files
    trackers = [[b"https://tracker%d.example/announce" % tier] for tier in range(3)]
    return encode(
        {
            b"announce": trackers[0][0],
            b"announce-list": trackers,
            b"created by": b"somebody",
            b"creation date": 1_700_000_000 + number,
            b"info": info,
        }
    )
