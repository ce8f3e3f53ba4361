"""`python -m anabranch.testing`: press a client with hostile peers, web servers and trackers, from a program of their
own; check a storage.

The peers only ever connect to the one victim that they are given; what they do is meant for clients of one's own.
"""

from __future__ import annotations

import signal
import sys
import threading
from contextlib import ExitStack, suppress
from importlib import import_module
from ipaddress import ip_address
from pathlib import Path
from types import FrameType

import click

from anabranch.metainfo import load
from anabranch.model import Address, TorrentError, canonical_host, split_host_port

from .bad_trackers_io import BadTrackers
from .conformance import ConformanceFailed
from .content_io import content_in
from .dht_attacks import DHT_ATTACKS
from .dht_siege_io import SocketAttacker
from .kinds import KINDS
from .peers_io import HostilePeer
from .storage_checks import STORAGE_CHECKS
from .tracker_kinds import TRACKER_KINDS
from .tracker_talk import OverTls
from .web_kinds import WEB_KINDS
from .web_server_io import WebServer

_DESCRIPTORS = 8192  # a crowd needs them
_FOLDER = click.Path(exists=True, file_okay=False)


def _list(abouts: dict[str, str]) -> None:
    width = max(map(len, abouts))
    for name, about in abouts.items():
        click.echo(f"{name:{width}}  {about}")


def _list_web_kinds(context: click.Context, _: click.Parameter, wished: bool) -> None:
    if wished:
        _list({name: kind.about for name, kind in WEB_KINDS.items()})
        context.exit()


def _list_tracker_kinds(context: click.Context, _: click.Parameter, wished: bool) -> None:
    if wished:
        _list({name: f"{kind.about} ({kind.error_type or 'works'})" for name, kind in TRACKER_KINDS.items()})
        context.exit()


def _list_dht_attacks(context: click.Context, _: click.Parameter, wished: bool) -> None:
    if wished:
        _list({name: attack.about for name, attack in DHT_ATTACKS.items()})
        context.exit()


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def commands() -> None:
    """Hostile peers, web servers and trackers, to press your own client with; checks for your own storage back end."""


@commands.command("list")
def list_kinds() -> None:
    """Show every kind and what it does."""
    _list({name: attack.about for name, attack in KINDS.items()})


@commands.command()
@click.argument("kinds", metavar="KIND...", nargs=-1, required=True)
@click.option("--victim", metavar="HOST:PORT", help="Whom to dial. Without it they only listen.")
@click.option("--torrent", metavar="FILE", required=True, type=click.Path(exists=True, dir_okay=False))
@click.option(
    "--from", "host", metavar="ADDR", default="127.0.0.1", help="The first one's address; the next has the next."
)
@click.option("--data", metavar="DIR", type=_FOLDER, help="Where right data are.")
@click.option("--seconds", type=click.FloatRange(min=0), help="End after so long; otherwise with Ctrl-C.")
@click.option("--seed", type=int, default=0, help="Another number draws other bytes.")
def attack(
    kinds: tuple[str, ...],
    victim: str | None,
    torrent: str,
    host: str,
    data: str | None,
    seconds: float | None,
    seed: int,
) -> None:
    """Attack in the ways of KIND..., or in "all" of them, each from an address of its own.

    Prints where each listens, and at the end a line about what became of it.
    """
    names = [name for kind in kinds for name in (KINDS if kind == "all" else (kind,))]
    if unknown := [name for name in names if name not in KINDS]:
        raise click.UsageError(f"there is no kind {unknown[0]!r}; `list` shows all")
    try:
        target = split_host_port(victim) if victim is not None else None
        hosts = [str(ip_address(host) + place) for place in range(len(names))]
        metainfo = load(torrent)
    except (TorrentError, ValueError) as bad:
        raise click.UsageError(str(bad)) from bad
    content = content_in(metainfo.info, Path(data)) if data is not None else None
    _raise_descriptors()
    over = _until_a_signal()
    with ExitStack() as stack:
        peers = [
            HostilePeer(name, metainfo, host=place, victim=target, content=content, seed=seed)
            for name, place in zip(names, hosts, strict=True)
        ]
        for peer in peers:
            try:
                stack.enter_context(peer)
            except OSError as refusal:
                raise click.UsageError(f"cannot listen on {peer.address.host}: {refusal.strerror}") from refusal
        for peer in peers:
            click.echo(f"{peer.kind} listens on {peer.address}")
        sys.stdout.flush()
        over.wait(seconds)
    for peer in peers:
        click.echo(_told(peer))


@commands.command()
@click.argument("kind", metavar="[KIND]", default="honest")
@click.option(
    "--data", metavar="DIR", required=True, type=click.Path(exists=True, file_okay=False), help="What it has."
)
@click.option("--host", metavar="ADDR", default="127.0.0.1", help="Where it listens.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="0 for any.")
@click.option("--seconds", type=click.FloatRange(min=0), help="End after so long; otherwise with Ctrl-C.")
@click.option(
    "--list", "show", is_flag=True, is_eager=True, expose_value=False, callback=_list_web_kinds, help="Show every kind."
)
def serve(kind: str, data: str, host: str, port: int, seconds: float | None) -> None:
    """Serve the files below DIR as a web server of that KIND does; --list shows all.

    Prints its URL, and at the end a line about what it was asked.
    """
    if kind not in WEB_KINDS:
        raise click.UsageError(f"there is no kind {kind!r}; --list shows all")
    over = _until_a_signal()
    server = WebServer(data, kind, host=host, port=port)
    with ExitStack() as stack:
        try:
            stack.enter_context(server)
        except OSError as refusal:
            raise click.UsageError(f"cannot listen on {host}: {refusal.strerror}") from refusal
        click.echo(f"{kind} at {server.url}/")
        sys.stdout.flush()
        over.wait(seconds)
    click.echo(
        f"{kind} at {server.url}/: {len(server.requests)} requests by {server.connections} connections, "
        f"{server.most_open} at once; {server.sent} bytes sent"
    )


@commands.command()
@click.argument("kinds", metavar="KIND...", nargs=-1, required=True)
@click.option("--host", metavar="ADDR", default="127.0.0.1", help="Where they listen.")
@click.option("--seconds", type=click.FloatRange(min=0), help="End after so long; otherwise with Ctrl-C.")
@click.option("--seed", type=int, default=0, help="Another number draws other bytes.")
@click.option(
    "--list",
    "show",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_list_tracker_kinds,
    help="Show every kind, and what a client should tell of it.",
)
def trackers(kinds: tuple[str, ...], host: str, seconds: float | None, seed: int) -> None:
    """Be the trackers of KIND..., or of "all" of them, each at a URL of its own.

    Prints each one's announce URL, and at the end how often it was asked.
    """
    names = list(dict.fromkeys(name for kind in kinds for name in (TRACKER_KINDS if kind == "all" else (kind,))))
    if unknown := [name for name in names if name not in TRACKER_KINDS]:
        raise click.UsageError(f"there is no kind {unknown[0]!r}; --list shows all")
    _raise_descriptors()
    over = _until_a_signal()
    with ExitStack() as stack:
        try:
            bad = stack.enter_context(BadTrackers(str(ip_address(host)), seed=seed))
            urls = {name: bad.url(name) for name in names}
        except ValueError as wrong:
            raise click.UsageError(str(wrong)) from wrong
        except OSError as refusal:
            raise click.UsageError(f"cannot listen on {host}: {refusal.strerror}") from refusal
        _list(urls)
        if any(isinstance(TRACKER_KINDS[name].serves, OverTls) for name in names):
            click.echo(f"trusted with: {bad.authority}")
        sys.stdout.flush()
        over.wait(seconds)
    _list({name: f"asked {bad.asked[name]} times" for name in names})


@commands.command()
@click.argument("target", metavar="HOST:PORT")
@click.argument("names", metavar="[ATTACK]...", nargs=-1)
@click.option(
    "--from", "host", metavar="ADDR", default="", help="Where to speak from; of 127.0.0.0/8 the next ones, too."
)
@click.option("--seed", type=int, default=0, help="Another number draws other bytes.")
@click.option(
    "--list",
    "show",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_list_dht_attacks,
    help="Show every attack.",
)
def dht(target: str, names: tuple[str, ...], host: str, seed: int) -> None:
    """Attack the DHT node at HOST:PORT in the ways of ATTACK..., or in all of them, one after another.

    A line for each: what was sent, what came back, and whether the node answers an honest question when it is over.
    Exit code 1 if it does not. What speaks in the name of others is only sent to nodes on this machine.
    """
    names = names or tuple(DHT_ATTACKS)
    if unknown := [name for name in names if name not in DHT_ATTACKS]:
        raise click.UsageError(f"there is no attack {unknown[0]!r}; --list shows all")
    try:
        place, port = split_host_port(target)
        address = Address(canonical_host(place), port)
        attacker = SocketAttacker(address, canonical_host(host) if host else "", seed)
    except (TorrentError, ValueError) as bad:
        raise click.UsageError(str(bad)) from bad
    except OSError as refusal:
        raise click.UsageError(f"cannot speak from {host or 'here'}: {refusal.strerror}") from refusal
    with attacker:
        if attacker.answers() is None:
            raise click.ClickException(f"nobody answers at {address}")
        failed = []
        for name in names:
            siege = attacker.attack(name)
            click.echo(siege)
            sys.stdout.flush()
            if siege.back_after is None:
                failed.append(name)
    if failed:
        raise click.ClickException(f"silent after {', '.join(failed)}")


@commands.command()
@click.argument("factory", metavar="MODULE:FUNCTION")
@click.option("--persistent", is_flag=True, help="What is recorded there must be known when a torrent is opened again.")
def storage(factory: str, persistent: bool) -> None:
    """Check the storage back end that MODULE:FUNCTION makes, called anew for each check, against every rule.

    Each must be empty, or the same one for all. One line for each rule; exit code 1 if any is not kept.
    """
    module, _, name = factory.partition(":")
    try:
        make = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as bad:
        raise click.UsageError(f"cannot find {factory!r}: {bad}") from bad
    failed = 0
    for check in STORAGE_CHECKS:
        try:
            check(make, persistent=persistent)
        except ConformanceFailed as failure:
            failed += 1
            click.echo(f"FAILED  {check.name}: {failure}")
        else:
            click.echo(f"ok      {check.name}")
    if failed:
        raise click.ClickException(f"{failed} of {len(STORAGE_CHECKS)} rules are not kept")


def _until_a_signal() -> threading.Event:
    """What is set when somebody wants this program to end."""
    over = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        over.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    return over


def _told(peer: HostilePeer) -> str:
    endings = ", ".join(f"{count} {how}" for how, count in peer.endings.most_common()) or "none ended"
    return (
        f"{peer.kind} at {peer.address.host}: {peer.connections} connections ({endings}), "
        f"{peer.sent} bytes sent, {peer.heard} heard"
    )


def _raise_descriptors() -> None:
    with suppress(ImportError, ValueError, OSError):  # not everywhere, and not for everybody
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _DESCRIPTORS)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
