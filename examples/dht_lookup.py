"""Ask the DHT: who has these torrents? And leave a note there that only we can change.

Nothing is downloaded, and nobody is told of any torrent. All hashes are looked up at once, in one task.

python examples/dht_lookup.py 0123456789abcdef0123456789abcdef01234567 --note "looked at noon"
"""

from __future__ import annotations

import argparse
import asyncio
import os

import anabranch


async def look_up(client: anabranch.Client, info_hash: str) -> None:
    """Print how many there are, as the DHT estimates, and the first of them."""
    # Two questions, asked at the same time: nodes that estimate tell of no peers then, some of them.
    peers, estimate = client.dht.get_peers(info_hash), client.dht.get_peers(info_hash, scrape=True)
    found, counted = await peers, await estimate
    print(f"{info_hash}: {len(found.peers)} peers, {counted.seeds or 0} seeds; {found.asked} nodes asked")
    for address in found.peers[:10]:
        print(f"  {address}")


async def leave_note(client: anabranch.Client, text: str) -> None:
    """Store a signed value and read it back. Whoever keeps the private key can replace it later."""
    private_key = os.urandom(32)
    note = client.dht.item(text.encode(), private_key)
    stored = await client.dht.put(note)
    read = (await client.dht.get(key=note.key)).item
    print(f"a note at {stored.stored} nodes, under key {note.key.hex()}: {read.value if read else 'lost'!r}")


async def main() -> int:
    options = argparse.ArgumentParser(description="Ask the DHT.")
    options.add_argument("hashes", nargs="*", help="info hashes, 40 hex digits each")
    options.add_argument("--note", help="a text to store")
    options.add_argument("--bootstrap", action="append", help="HOST:PORT of a node to begin with")
    options.add_argument("--bind", action="append", default=[], help="address to ask from")
    options.add_argument("--state", default="", help="where nodes are kept between runs")
    chosen = options.parse_args()

    config = anabranch.Config(
        state_dir=chosen.state,  # nodes that answered are known to the next run
        listen_host=tuple(chosen.bind),
        listen_port=0,
        accept_peers=False,  # we have nothing to give
        disable_lsd=True,
        dht_bootstrap=tuple(chosen.bootstrap) if chosen.bootstrap else None,
    )
    async with anabranch.Client(config) as client:
        if not await client.dht.ready(30):
            print("no node of the DHT answers")
            return 1
        await asyncio.gather(*(look_up(client, info_hash) for info_hash in chosen.hashes))
        if chosen.note:
            await leave_note(client, chosen.note)
    return 0


if __name__ == "__main__":
    raise SystemExit(asyncio.run(main()))
