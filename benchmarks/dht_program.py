"""A DHT node in a process of its own that answers and does nothing else: dht_program.py WHO HOST NODE...

WHO is anabranch or libtorrent; HOST its own address; each NODE a HOST:PORT from which it learns who else is there. It
tells in a line of JSON where it listens, and then serves until it is killed. libtorrent is told to answer without end:
by default it answers five queries a second from an address, and sends 8 kB per second in all. Ours has no such limits
towards this machine.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Sequence

UNLIMITED = 500_000_000  # bytes per second, queries per second; libtorrent multiplies it by 3 in 32 bits


def anabranch(host: str, nodes: Sequence[str]) -> None:
    """Ours, on the loop that it has in life."""
    from anabranch.dht import Dht
    from anabranch.net import Datagrams, new_loop, udp_socket

    async def serve() -> None:
        datagrams = Datagrams(udp_socket(host))
        print(json.dumps({"listen": datagrams.address}), flush=True)
        await Dht([datagrams], clock=asyncio.get_running_loop().time, bootstrap=nodes).run()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(serve())


def libtorrent(host: str, nodes: Sequence[str]) -> None:
    """A session of libtorrent."""
    import libtorrent as lt

    session = lt.session(
        {
            "listen_interfaces": f"{host}:0",
            "enable_dht": True,
            "dht_bootstrap_nodes": ",".join(nodes),
            "dht_block_ratelimit": UNLIMITED,
            "dht_upload_rate_limit": UNLIMITED,
            "dht_ignore_dark_internet": False,
            "dht_restrict_routing_ips": False,
            "dht_restrict_search_ips": False,
            "enable_lsd": False,
            "enable_upnp": False,
            "enable_natpmp": False,
            "alert_mask": 0,
        }
    )
    while not session.listen_port():
        time.sleep(0.01)
    print(json.dumps({"listen": (host, session.listen_port())}), flush=True)
    while True:
        time.sleep(3600)


def main() -> None:
    """Be one of them."""
    who, host, *nodes = sys.argv[1:]
    {"anabranch": anabranch, "libtorrent": libtorrent}[who](host, nodes)


if __name__ == "__main__":
    main()
