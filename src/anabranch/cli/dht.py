"""`anabranch dht ...` as click knows it: the commands that ask the DHT, and the options that they share.

What they do is in dht_node.py (a node for as long as it takes), dht_peers.py and dht_items.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from . import options
from .options import F

if TYPE_CHECKING:
    from .dht_node import Reach

TIMEOUT = 30  # seconds; a look-up among millions of nodes takes a few


@click.group(
    epilog="""\b
Examples:
  anabranch dht get-peers 0123456789abcdef0123456789abcdef01234567
  anabranch dht ping router.bittorrent.com:6881
  anabranch dht put 'hello, world'
  anabranch dht put 'version 2' --key-file my.key --salt news
  anabranch dht get --key PUBLIC_KEY --salt news

`anabranch dht COMMAND --help` tells more about each command.
"""
)
def dht() -> None:
    """Ask the DHT: the tracker that is made of everybody.

    Nobody is told that we have anything, except by announce. Each command is a node for as long as it runs, one that
    others do not keep (BEP 43). Nodes that answered are kept in the state directory, for the next command and for
    downloads.

    What was found goes to stdout, how it went to stderr. The exit code is 0 when there was something, 1 when not.
    """


def _hex(length: int) -> Callable[[click.Context, click.Parameter, str | None], bytes | None]:
    """A callback for so many bytes, written as hex digits."""

    def read(ctx: click.Context, param: click.Parameter, value: str | None) -> bytes | None:
        if value is None:
            return None
        try:
            found = bytes.fromhex(value)
        except ValueError:
            found = b""
        if len(found) != length:
            raise click.BadParameter(f"{value[:80]!r} is not {2 * length} hex digits")
        return found

    return read


def _reaching(*, enters: bool = True, port: bool = True) -> Callable[[F], F]:
    """The options that say how a command gets into the DHT, if it *enters* it, and how it tells what it found."""
    chosen: list[Callable[[F], F]] = [options.bootstrap_option] if enters else []
    chosen.append(
        click.option(
            "--bind",
            metavar="ADDR",
            multiple=True,
            callback=options.addresses,
            help="Address to ask from. May be repeated. Default: all, IPv4 and IPv6.",
        )
    )
    if port:
        chosen.append(
            click.option("--port", type=click.IntRange(0, 65535), default=0, help="UDP port to ask from. Default: any.")
        )
    if enters:
        chosen.append(
            click.option("--state", metavar="DIR", help="Where nodes are kept between runs. Default: your state home.")
        )
    chosen += [
        click.option(
            "--timeout",
            metavar="SECONDS",
            type=click.FloatRange(0.1, 3600),
            default=TIMEOUT,
            help=f"How long it may take. Default: {TIMEOUT}.",
        ),
        click.option("--json", is_flag=True, help="One JSON object per line on stdout."),
        options.log_options,
    ]

    def add(command: F) -> F:
        for option in reversed(chosen):
            command = option(command)
        return command

    return add


def _reach(given: dict[str, Any], port: int = 0) -> Reach:
    """Take what _reaching() asked for out of what a command was given."""
    from .dht_node import Reach

    return Reach(
        bootstrap=given.pop("dht_bootstrap", ()),
        bind=given.pop("bind"),
        port=given.pop("port", port),
        state=given.pop("state", None),
        timeout=given.pop("timeout"),
        json=given.pop("json"),
    )


@dht.command(
    epilog="""\b
Example:
  anabranch dht ping 192.0.2.7:6881
"""
)
@click.argument("node", metavar="HOST:PORT", callback=options.host_port)
@_reaching(enters=False)
def ping(node: tuple[str, int], **given: Any) -> int:
    """Ask a node whether it is there.

    Prints how long it took, the node's id and program, and our address as the node sees it. Of a name all addresses
    are asked. Nobody else is.
    """
    from .dht_peers import ping as run

    return run(_reach(given), node)


@dht.command(
    epilog="""\b
Examples:
  anabranch dht get-peers debian.iso.torrent
  anabranch dht get-peers 0123456789abcdef0123456789abcdef01234567 --scrape
"""
)
@click.argument("torrent", metavar="HASH")
@click.option("--scrape", is_flag=True, help="Also estimate how many seeds and downloaders there are (BEP 33).")
@_reaching()
def get_peers(torrent: str, scrape: bool, **given: Any) -> int:
    """Find peers of a torrent, a line for each.

    HASH is an info hash (hex or base32, v1 or v2), a magnet link or a .torrent file; of a hybrid torrent both its
    hashes are looked up. Those who are asked see our address and the hash. A private torrent is refused (BEP 27).
    """
    from .dht_peers import get_peers as run

    return run(_reach(given), torrent, scrape)


@dht.command(
    epilog="""\b
Example:
  anabranch dht announce 0123456789abcdef0123456789abcdef01234567 --port 42069 --seed
"""
)
@click.argument("torrent", metavar="HASH")
@click.option("--port", type=click.IntRange(1, 65535), required=True, help="TCP port where peers can reach us.")
@click.option("--seed", is_flag=True, help="Say that we have all of it (BEP 33).")
@_reaching(port=False)
def announce(torrent: str, port: int, seed: bool, **given: Any) -> int:
    """Tell the DHT that this machine is a peer of a torrent.

    HASH as of get-peers. The nodes nearest to it remember our address for about half an hour; a client that downloads
    or seeds announces by itself, again and again. A private torrent is refused (BEP 27).
    """
    from .dht_peers import announce as run

    return run(_reach(given), torrent, port, seed)


@dht.command(
    epilog="""\b
Examples:
  anabranch dht sample
  anabranch dht sample --node 192.0.2.7:6881 --json
"""
)
@click.argument("target", required=False, callback=_hex(20))
@click.option("--node", metavar="HOST:PORT", callback=options.host_port, help="The only node to ask.")
@_reaching()
def sample(target: bytes | None, node: tuple[str, int] | None, **given: Any) -> int:
    """Ask nodes which torrents they know (BEP 51), an info hash a line.

    Those nearest to TARGET are asked, 40 hex digits, or to a place drawn by chance. Each tells a few of those that it
    knows peers of.
    """
    if node is not None and given["dht_bootstrap"]:
        raise click.UsageError("--node is asked without the others: --dht-bootstrap is of no use then")
    from .dht_peers import sample as run

    return run(_reach(given), target, node)


@dht.command(
    epilog="""\b
Examples:
  anabranch dht get e5f96f6f38320f0f33959cb4d3d656452117aadb
  anabranch dht get --key PUBLIC_KEY --salt news
"""
)
@click.argument("target", required=False, callback=_hex(20))
@click.option("--key", metavar="HEX", callback=_hex(32), help="Public key that signs the value, 64 hex digits.")
@click.option("--salt", metavar="TEXT", default="", help="Which of the values of that key.")
@_reaching()
def get(target: bytes | None, key: bytes | None, salt: str, **given: Any) -> int:
    """Print a value that is stored in the DHT (BEP 44).

    TARGET is 40 hex digits, as put prints them: the hash of a value that nobody can change. Instead of it, --key names
    whose value to get; it is printed only if it is signed with that key, the newest that was found. A text is printed
    as it is, any other value bencoded.
    """
    if (target is None) == (key is None):
        raise click.UsageError("TARGET or --key says what to get, one of them")
    if salt and key is None:
        raise click.UsageError("--salt is for values of a --key")
    from .dht_items import get as run

    return run(_reach(given), target, key, salt.encode("utf-8", "surrogateescape"))


@dht.command(
    epilog="""\b
Examples:
  anabranch dht put 'hello, world'
  anabranch dht put 'version 1' --key-file my.key --new-key --salt news
  anabranch dht put 'version 2' --key-file my.key --salt news
"""
)
@click.argument("value")
@click.option("--key-file", metavar="FILE", help="Sign the value with the key in FILE, so that it can be changed.")
@click.option("--new-key", is_flag=True, help="Make that key, and FILE: keep it secret, and keep it.")
@click.option("--salt", metavar="TEXT", default="", help="Which of the values of that key; at most 64 bytes.")
@click.option(
    "--sequence",
    metavar="N",
    type=click.IntRange(0),
    help="Number of this version. Default: one more than the newest that is found.",
)
@click.option("--cas", metavar="N", type=click.IntRange(0), help="Only where the version that is stored is number N.")
@click.option("--bencoded", is_flag=True, help="VALUE is bencoded: a number, a list, a dictionary.")
@_reaching()
def put(value: str, **given: Any) -> int:
    """Store a value in the DHT (BEP 44), where anybody can read it.

    VALUE is a text of at most 996 bytes; "-" for what stdin gives. What is printed is what get takes. Nodes forget a
    value after about two hours, unless it is put again. Whoever has the key replaces a value that is signed with it;
    others never change.
    """
    if given["key_file"] is None:
        wished = [name for name in ("sequence", "cas") if given[name] is not None]
        wished += [name for name in ("new_key", "salt") if given[name]]
        if wished:
            raise click.UsageError(f"--{wished[0].replace('_', '-')} is for values with a --key-file")
    from .dht_items import Putting
    from .dht_items import put as run

    reach = _reach(given)
    salt = given.pop("salt").encode("utf-8", "surrogateescape")
    return run(reach, Putting(value=value.encode("utf-8", "surrogateescape"), salt=salt, **given))
