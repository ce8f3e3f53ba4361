"""What the commands' options mean: their types, and those that several commands share.

An option that switches a part off which is not there yet is accepted.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import click

from . import logs

F = TypeVar("F", bound=Callable[..., Any])

_NUMBER = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)([KMG]?)", re.IGNORECASE | re.ASCII)
_FACTORS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3}
STORAGES = ("file", "mmap", "sqlite", "cache", "memory")  # as of Config, which would bring the engine with it
IDENTITIES = ("deluge", "anabranch", "anonymous")  # as of net, likewise
_LIMITED, _IN_FILES = ("sqlite", "cache"), ("file", "mmap")
_SMALLEST_PIECE, _LARGEST_PIECE = 16 * 1024, 256 * 1024 * 1024


def byte_count(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """Bytes, or bytes per second: a number above 0 with an optional K, M or G (binary)."""
    if value is None:
        return None
    found = _NUMBER.fullmatch(value)
    count = int(float(found[1]) * _FACTORS[found[2].upper()]) if found else 0
    if count < 1:
        raise click.BadParameter(f"{value!r} is no number above 0 with an optional K, M or G, like 512K or 1.5M")
    return count


def seconds(ctx: click.Context, param: click.Parameter, value: str) -> int:
    """A time of a second to a day: a whole number with an optional s, m or h."""
    found = re.fullmatch(r"(\d{1,6})([smh]?)", value, re.IGNORECASE | re.ASCII)
    count = int(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[found[2].lower()] if found else 0
    if not 1 <= count <= 86400:
        raise click.BadParameter(f"{value!r} is no time from 1s to 24h, like 90s, 30m or 1h")
    return count


def piece_length(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """A length that pieces can have."""
    length = byte_count(ctx, param, value)
    if length is not None and (length & (length - 1) or not _SMALLEST_PIECE <= length <= _LARGEST_PIECE):
        raise click.BadParameter(f"{value!r} is no power of two from 16K to 256M")
    return length


def host_ports(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[tuple[str, int], ...]:
    """Hosts, names among them, with their ports."""
    if not values:
        return ()
    from anabranch.model import InputRefused, split_host_port

    try:
        return tuple(map(split_host_port, values))
    except InputRefused as bad:
        raise click.BadParameter(str(bad)) from bad


def host_port(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[str, int] | None:
    """One of them."""
    return host_ports(ctx, param, (value,))[0] if value is not None else None


def _written_host_ports(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    host_ports(ctx, param, values)
    return values


def url_of(*schemes: str) -> Callable[[click.Context, click.Parameter, Any], Any]:
    """A callback that takes URLs of these schemes, one or several, and leaves them as they are."""

    def look(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
        if value:
            from anabranch.model import InputRefused
            from anabranch.net import parse_url

            for text in (value,) if isinstance(value, str) else value:
                try:
                    parse_url(text, schemes)
                except (InputRefused, UnicodeError) as bad:  # names that are no text come from the shell as they are
                    raise click.BadParameter(str(bad)) from bad
        return value

    return look


def addresses(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """IP addresses, in their shortest spelling."""
    if not values:
        return ()
    from anabranch.model import canonical_host

    try:
        return tuple(map(canonical_host, values))
    except ValueError as bad:
        raise click.BadParameter(f"not an IP address: {bad}") from bad


@dataclass(frozen=True)
class Wishes:
    """What was asked of download or seed. Rates in bytes per second."""

    sources: tuple[str, ...]
    data_dir: str
    state: str | None
    peer: tuple[tuple[str, int], ...]
    port: int | None
    bind: tuple[str, ...]
    storage: str
    limit_down: int | None
    limit_up: int | None
    max_peers: int | None
    verify: bool
    json: bool
    quiet: bool
    seed: bool
    encryption: str = "prefer"
    identity: str = "deluge"
    no_trackers: bool = False
    announce_to_all: bool = False
    select: tuple[str, ...] = ()
    super_seeding: bool = False
    cache_size: int | None = None
    incomplete_dir: str | None = None
    preallocate: bool = False
    webseed: tuple[str, ...] = ()
    no_webseeds: bool = False
    http_proxy: str | None = field(default=None, repr=False)
    ca_file: str | None = None
    allow_local_urls: bool = False
    dht_bootstrap: tuple[str, ...] = ()
    no_dht: bool = False
    no_pex: bool = False
    no_lsd: bool = False
    no_utp: bool = False
    no_tcp: bool = False
    assume_private: bool = False


def check_storage(wishes: Wishes) -> None:
    """Refuse what only some kinds of storage can do where content is kept in another one."""
    for name, wish, kinds in (
        ("--cache-size", wishes.cache_size is not None, _LIMITED),
        ("--incomplete-dir", wishes.incomplete_dir is not None, _IN_FILES),
        ("--preallocate", wishes.preallocate, _IN_FILES),
    ):
        if wish and wishes.storage not in kinds:
            raise click.UsageError(f"{name} is for --storage {' and '.join(kinds)}, not {wishes.storage}")


def is_magnet(text: str) -> bool:
    """Whether this is meant as a magnet link. A file of that name is a file."""
    from os.path import exists

    return text.strip().lower().startswith("magnet:") and not exists(text)


def the_version(v1: bool, v2: bool, hybrid: bool) -> Literal["v1", "v2", "hybrid"]:
    """The one version of the protocol that was asked for; v1 where none was."""
    if v1 + v2 + hybrid > 1:
        raise click.UsageError("of --v1, --v2 and --hybrid only one can be made at a time")
    return "hybrid" if hybrid else "v2" if v2 else "v1"


def check_source(text: str) -> None:
    """Refuse what names a torrent without holding it, where a file is due. A file of that name is a file."""
    from os.path import exists

    from anabranch.metainfo import names_no_file

    if names_no_file(text) and not exists(text):
        raise click.UsageError(f"{text[:60]}: a .torrent file is due here")


def check_folder_urls(path: str, webseeds: tuple[str, ...]) -> None:
    """Refuse web seeds' URLs that nobody could ask for files of a folder."""
    from os.path import isdir

    if webseeds and isdir(path):
        from anabranch.net import parse_url

        if not all(parse_url(url, ("http", "https")).target.endswith("/") for url in webseeds):
            raise click.UsageError("--webseed: of a folder the URL ends in /")


def storage_kind(ctx: click.Context, param: click.Parameter, value: str) -> str:
    """A kind of storage that has a name, or the URL of an object store."""
    if value in STORAGES or "://" in value:
        return value
    raise click.BadParameter(f"{value!r} is none of {', '.join(STORAGES)}, and no URL")


def _log_level(ctx: click.Context, param: click.Parameter, value: str | int | None) -> None:
    if isinstance(value, str):
        logs.start(value)
    elif value:
        logs.start("info" if value == 1 else "debug")


def storage_option(what: str) -> Callable[[F], F]:
    """--storage, *what* being said of it."""
    return click.option(
        "--storage",
        metavar="KIND",
        default="file",
        callback=storage_kind,
        help=f"{what}: file (default), mmap, sqlite, cache, memory, or the URL of an object store: s3://BUCKET/PREFIX.",
    )


def log_options(command: F) -> F:
    """-v and --log, which every command takes, before and behind its name."""
    command = click.option(
        "--log",
        metavar="LEVEL",
        type=click.Choice(logs.LEVELS, case_sensitive=False),
        callback=_log_level,
        expose_value=False,
        help=f"Log to stderr: {', '.join(logs.LEVELS)}.",
    )(command)
    return click.option(
        "-v", "--verbose", count=True, callback=_log_level, expose_value=False, help="Same as --log info; -vv: debug."
    )(command)


def _off(part: str, what: str) -> Callable[[F], F]:
    return click.option(f"--no-{part}", is_flag=True, help=f"Without {what}.")


def identity_option(command: F) -> F:
    """--identity, of all who speak to others."""
    return click.option(
        "--identity",
        type=click.Choice(IDENTITIES),
        default=IDENTITIES[0],
        help="Who we say we are: deluge (default: Deluge 2.1.1, which private trackers know), anabranch, or anonymous.",
    )(command)


def reach_options(command: F) -> F:
    """Which way HTTP goes, whom it believes, and where it may lead."""
    options: list[Callable[[F], F]] = [
        click.option(
            "--http-proxy",
            metavar="URL",
            callback=url_of("http"),
            help="http://[USER:PASSWORD@]HOST:PORT that web seeds and HTTP trackers are asked through. Peers, UDP "
            "trackers and the DHT are not: they see your address.",
        ),
        click.option(
            "--ca-file",
            metavar="FILE",
            type=click.Path(exists=True, dir_okay=False),
            help="Certificates (PEM) to verify their servers by, beside the system's.",
        ),
        click.option(
            "--allow-local-urls",
            is_flag=True,
            help="Ask what torrents and links name in this network, whatever its URL looks like.",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def asking_options(command: F) -> F:
    """The options that announce and scrape share."""
    command = identity_option(command)
    command = click.option("--json", is_flag=True, help="One JSON object per line on stdout.")(log_options(command))
    return click.option(
        "--bind", metavar="ADDR", multiple=True, callback=addresses, help="Address to ask from. May be repeated."
    )(command)


def bootstrap_option(command: F) -> F:
    """--dht-bootstrap, of all who use the DHT."""
    return click.option(
        "--dht-bootstrap",
        metavar="HOST:PORT",
        multiple=True,
        callback=_written_host_ports,
        help="A node to enter the DHT by, instead of the well-known ones. May be repeated.",
    )(command)


def webseed_option(command: F) -> F:
    """--webseed, of those that fetch."""
    return click.option(
        "--webseed",
        metavar="URL",
        multiple=True,
        callback=url_of("http", "https"),
        help="HTTP server with the content of every SOURCE; a folder's URL ends in /. May be repeated.",
    )(command)


def network_options(command: F) -> F:
    """The options that download and seed share."""
    options: list[Callable[[F], F]] = [
        click.option(
            "-d", "--data", "data_dir", metavar="DIR", default=".", help="Where the files are. Default: here."
        ),
        click.option("--state", metavar="DIR", help="Where progress is kept between runs. Default: your state home."),
        click.option(
            "--peer",
            metavar="HOST:PORT",
            multiple=True,
            callback=host_ports,
            help="A peer to connect to. May be repeated.",
        ),
        click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on; 0 for any. Default: 42069."),
        click.option(
            "--bind", metavar="ADDR", multiple=True, callback=addresses, help="Address to listen on. May be repeated."
        ),
        storage_option("Where content is kept"),
        click.option(
            "--cache-size",
            metavar="SIZE",
            callback=byte_count,
            help="Most bytes that sqlite or cache keep: 20G. Default: no limit of sqlite, 10G of cache.",
        ),
        click.option(
            "--limit-down", metavar="RATE", callback=byte_count, help="Most bytes per second to receive: 500K, 1.5M."
        ),
        click.option("--limit-up", metavar="RATE", callback=byte_count, help="Most bytes per second to send."),
        click.option("--max-peers", type=click.IntRange(min=1), metavar="N", help="Most connections of a torrent."),
        click.option("--verify", is_flag=True, help="Hash all existing data anew first."),
        click.option("--json", is_flag=True, help="One JSON object per line on stdout."),
        click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors."),
        click.option(
            "--encryption",
            type=click.Choice(["off", "allow", "prefer", "require"]),
            default="prefer",
            help="off; allow: dial in clear first; prefer: obfuscated first (default); require: RC4 or nothing.",
        ),
        bootstrap_option,
        _off("dht", "the DHT"),
        _off("pex", "peer exchange"),
        _off("lsd", "local peer discovery"),
        _off("utp", "uTP (not there yet)"),
        _off("tcp", "TCP: neither listen for peers nor dial them by it"),
        click.option(
            "--assume-private",
            is_flag=True,
            help="Treat a link as private until its metadata is known: ask only its trackers, and --peer.",
        ),
        click.option("--no-trackers", is_flag=True, help="Announce to no tracker."),
        click.option("--announce-to-all", is_flag=True, help="Announce to every tracker, not to one until it fails."),
        click.option("--no-webseeds", is_flag=True, help="Ask no web seed."),
        click.option("--no-portmap", is_flag=True, expose_value=False, help="Without port mapping (not there yet)."),
        reach_options,
        identity_option,
        log_options,
    ]
    for option in reversed(options):
        command = option(command)
    return command
