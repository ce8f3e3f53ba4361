"""The commands as click knows them, and the way in: exit codes, and what is said when something goes wrong.

What a command needs is imported when it runs, so that --help comes at once.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

import click

from anabranch.model import VERSION

from . import logs, options
from .dht import dht
from .interrupt import INTERRUPTED

FAILED, MISUSED = 1, 2

_GROUPS = (
    ("Move data", ("download", "seed")),
    ("Torrent files", ("create", "show", "magnet", "verify")),
    ("Trackers", ("trackers", "announce", "scrape", "tracker")),
    ("DHT", ("dht",)),
    ("See it work", ("demo",)),
)


class _Commands(click.Group):
    """Lists its commands by what they are for."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """See click.Group."""
        for title, names in _GROUPS:
            rows = [(name, self.commands[name].get_short_help_str(limit=70)) for name in names]
            with formatter.section(title):
                formatter.write_dl(rows)


_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


@click.group(
    cls=_Commands,
    context_settings=_SETTINGS,
    epilog="""\b
Examples:
  anabranch download debian.iso.torrent -d downloads
  anabranch download 'magnet:?xt=urn:btih:...'
  anabranch create photos --tracker https://tracker.example/announce
  anabranch seed photos.torrent
  anabranch demo

`anabranch COMMAND --help` tells more about each command.
""",
)
@click.version_option(VERSION, prog_name="anabranch", message="%(prog)s %(version)s")
@options.log_options
def commands() -> None:
    """A BitTorrent client: fetch, share, create and check torrents.

    Ctrl-C ends a command in good order: a download goes on where it stopped when it is started again. The exit code is
    0 when all was done, 1 when it failed, 2 for bad usage, 130 when interrupted.
    """


@commands.command(
    epilog="""\b
Examples:
  anabranch download debian.iso.torrent -d downloads
  anabranch download 'magnet:?xt=urn:btih:...&tr=...' --encryption require
  anabranch download https://example.org/album.torrent --select '*.flac' --select cover.jpg
  anabranch download big.torrent --peer 192.0.2.7:42069 --limit-down 2M --seed
  anabranch download big.torrent --webseed https://example.org/files/
"""
)
@click.argument("sources", metavar="SOURCE...", nargs=-1, required=True)
@click.option(
    "--select",
    metavar="GLOB",
    multiple=True,
    help="Fetch only files that match, whatever a link selects. May be repeated.",
)
@click.option("--seed", is_flag=True, help="Go on serving when all is complete.")
@click.option("--incomplete-dir", metavar="DIR", help="Where files are until they are complete.")
@click.option("--preallocate", is_flag=True, help="Take the whole room on the disk at the beginning.")
@options.webseed_option
@options.network_options
def download(**given: Any) -> int:
    """Fetch what torrents hold.

    SOURCE is a .torrent file or the URL of one, a magnet link, or a bare info hash (hex or base32, v1 or v2). What is
    in DIR already is used. Ends when everything is complete, unless --seed is given.
    """
    wishes = options.Wishes(**given)
    options.check_storage(wishes)

    from .transfer import download as run

    return run(wishes)


@commands.command(
    epilog="""\b
Examples:
  anabranch seed photos.torrent                  the folder "photos" is here
  anabranch seed a.torrent b.torrent -d /srv/data --limit-up 5M
"""
)
@click.argument("sources", metavar="TORRENT...", nargs=-1, required=True)
@click.option(
    "--super-seeding",
    is_flag=True,
    help="For the first seed of new torrents: upload as little as possible, by showing each peer one piece at a time.",
)
@options.network_options
def seed(**given: Any) -> int:
    """Serve what is in DIR, until interrupted.

    TORRENT is all that download takes. What is there is checked first; what was checked before is believed, unless
    --verify is given. Nothing is fetched.
    """
    wishes = options.Wishes(**given, seed=True)
    options.check_storage(wishes)

    from .transfer import seed as run

    return run(wishes)


@commands.command(
    epilog="""\b
Examples:
  anabranch create photos
  anabranch create disk.iso -o disk.torrent --piece-length 1M --private \\
      --tracker https://tracker.example/announce
  anabranch create photos --hybrid               for clients of both versions
"""
)
@click.argument("path")
@click.option("-o", "--output", metavar="FILE", help="The file to write, or its directory. Default: NAME.torrent here.")
@click.option("--piece-length", metavar="N", callback=options.piece_length, help="Power of two from 16K to 256M.")
@click.option("--v1", is_flag=True, help="For BitTorrent v1 (default), which every client has.")
@click.option("--v2", is_flag=True, help="For BitTorrent v2: a hash tree for every file.")
@click.option("--hybrid", is_flag=True, help="For both in one; every file is padded to whole pieces.")
@click.option("--tracker", metavar="URL", multiple=True, help="Announce URL, best first. May be repeated.")
@click.option(
    "--webseed",
    metavar="URL",
    multiple=True,
    callback=options.url_of("http", "https"),
    help="HTTP server with the content; a folder's URL ends in /. May be repeated.",
)
@click.option(
    "--httpseed",
    metavar="URL",
    multiple=True,
    callback=options.url_of("http", "https"),
    help="Script that gives it by pieces (BEP 17). May be repeated.",
)
@click.option("--private", is_flag=True, help="Find peers by the trackers only.")
@click.option("--comment", metavar="TEXT", default="", help="For people to read.")
@click.option("--source", metavar="TEXT", default="", help="A mark that changes the info hash, as trackers want it.")
@click.option("--name", metavar="NAME", help="What the torrent is called. Default: the name of PATH.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors.")
@options.log_options
def create(v1: bool, v2: bool, hybrid: bool, **given: Any) -> int:
    """Make a .torrent file of a file or folder.

    A file of that name is replaced, in one step, once everything is hashed.
    """
    version = options.the_version(v1, v2, hybrid)
    from .making import Making, make

    options.check_folder_urls(given["path"], given["webseed"])
    lists = {f"{name}s": given.pop(name) for name in ("tracker", "webseed", "httpseed")}
    return make(Making(version=version, **lists, **given))


@commands.command()
@click.argument("source")
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
@options.log_options
def show(source: str, as_json: bool) -> int:
    """Print what a .torrent file says: files, hashes, trackers, sizes.

    SOURCE may also be the URL of one, or a magnet link.
    """
    from .show import show as run

    return run(source, as_json)


@commands.command(
    epilog="""\b
Example:
  anabranch magnet photos.torrent
"""
)
@click.argument("file")
@options.log_options
def magnet(file: str) -> int:
    """Print the magnet link to what a .torrent file holds.

    With its name, trackers and web seeds. Mind that private trackers' URLs have your passkey in them.
    """
    from .linking import link

    return link(file)


@commands.command(
    epilog="""\b
Example:
  anabranch verify photos.torrent -d /srv/data
"""
)
@click.argument("torrent")
@click.option("-d", "--data", "data_dir", metavar="DIR", default=".", help="Where the files are. Default: here.")
@options.storage_option("Where content is kept")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing but the verdict when something is wrong.")
@options.log_options
def verify(torrent: str, data_dir: str, storage: str, quiet: bool) -> int:
    """Hash everything a torrent should have in DIR; say what is wrong.

    Only reads. Exit code 0 when all is right, else 1.
    """
    if storage == "memory":
        raise click.UsageError("memory keeps nothing that could be verified")
    from .verifying import verify as run

    return run(torrent, data_dir, quiet, storage)


@commands.command(
    epilog="""\b
Examples:
  anabranch trackers debian.iso.torrent
  anabranch trackers 'magnet:?xt=urn:btih:...&tr=...' --scrape --json
  anabranch trackers 0123456789abcdef0123456789abcdef01234567 --tracker udp://tracker.example:6969
  anabranch trackers debian.iso.torrent --watch --every 60
"""
)
@click.argument("torrent")
@click.option(
    "--tracker",
    metavar="URL",
    multiple=True,
    callback=options.url_of("http", "https", "udp", "ws", "wss"),
    help="A tracker to ask besides those of TORRENT. May be repeated.",
)
@click.option("--scrape", is_flag=True, help="Only ask how many peers there are; tell nobody of us.")
@click.option("--watch", is_flag=True, help="Ask again and again, until Ctrl-C.")
@click.option(
    "--every", type=click.IntRange(5, 86400), default=30, metavar="SECONDS", help="From look to look. Default: 30."
)
@click.option("--port", type=click.IntRange(1, 65535), default=42069, help="Where to say we listen. Default: 42069.")
@options.asking_options
@options.reach_options
def trackers(**given: Any) -> int:
    """Ask all trackers of a torrent, and tell what is wrong with each and what to do.

    TORRENT is a .torrent file or the URL of one, a magnet link, or an info hash with --tracker. All are asked at once,
    within 20 seconds. Each is told that we have started and, when it has answered, that we have stopped: nobody is sent
    to us in vain. --watch does so as rarely as each tracker wishes, and never twice a minute; in between it scrapes.

    Health is the share of a tracker's addresses (IPv4, IPv6) that answered; in --watch, over the last ten looks. The
    exit code is 0 when all trackers work, 3 when some do, 1 when none does or there is none, 2 for bad usage.
    """
    from .diagnosing import Diagnosing, diagnose

    return diagnose(Diagnosing(**given))


@commands.command(
    epilog="""\b
Examples:
  anabranch announce udp://tracker.example:6969/announce debian.iso.torrent
  anabranch announce https://tracker.example/announce 0123456789abcdef0123456789abcdef01234567 --json
"""
)
@click.argument("tracker")
@click.argument("torrent", metavar="HASH")
@click.option("--port", type=click.IntRange(1, 65535), default=42069, help="Where we listen. Default: 42069.")
@click.option(
    "--event",
    type=click.Choice(["started", "completed", "stopped", "none"]),
    default="none",
    help="What happened. Default: none, as in between.",
)
@click.option("--numwant", type=click.IntRange(0, 10000), default=200, help="How many peers to ask for. Default: 200.")
@click.option("--left", type=click.IntRange(0), metavar="N", help="Bytes we lack. Default: all, where that is known.")
@options.asking_options
def announce(**given: Any) -> int:
    """Ask a tracker for peers.

    HASH is an info hash (hex or base32), a magnet link or a .torrent file. The tracker may list this machine as a peer
    until its interval is over; `--event stopped` takes that back where peers are known by address: each run has a
    peer id of its own.
    """
    from .asking import Asking, ask_for_peers

    return ask_for_peers(Asking(**given))


@commands.command()
@click.argument("tracker")
@click.argument("torrents", metavar="HASH...", nargs=-1, required=True)
@options.asking_options
def scrape(tracker: str, torrents: tuple[str, ...], bind: tuple[str, ...], identity: str, json: bool) -> int:
    """Ask a tracker how many peers torrents have.

    HASH is an info hash (hex or base32), a magnet link or a .torrent file. Exit code 1 where the tracker knows none.
    """
    from .asking import ask_for_numbers

    return ask_for_numbers(tracker, torrents, bind, identity, json)


@commands.command(
    epilog="""\b
Examples:
  anabranch tracker
  anabranch tracker --bind 192.168.1.5 --port 8000 --interval 5m --only photos.torrent
  anabranch create photos --tracker http://192.168.1.5:8000/announce
"""
)
@click.option(
    "--bind",
    metavar="ADDR",
    multiple=True,
    callback=options.addresses,
    help="Address to listen on. May be repeated. Default: all.",
)
@click.option("--port", type=click.IntRange(0, 65535), default=6969, help="For HTTP and UDP; 0 for any. Default: 6969.")
@click.option(
    "--interval",
    metavar="TIME",
    callback=options.seconds,
    default="30m",
    help="When peers are to announce again: 90s, 30m, 1h. Default: 30m.",
)
@click.option("--no-http", is_flag=True, help="By UDP only.")
@click.option("--no-udp", is_flag=True, help="By HTTP only.")
@click.option(
    "--only",
    metavar="TORRENT",
    multiple=True,
    help="Serve no other torrent: a .torrent file, a magnet link or an info hash. May be repeated.",
)
@click.option("--json", is_flag=True, help="One JSON object per line on stdout.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors.")
@options.log_options
def tracker(**given: Any) -> int:
    """Be a tracker, until interrupted.

    For a local network, a demonstration, a test: by HTTP and UDP, over IPv4 and IPv6. Any torrent may be announced by
    anybody who reaches it, unless --only is given. Everything is in memory. -v shows each announce.
    """
    if given["no_http"] and given["no_udp"]:
        raise click.UsageError("a tracker is asked by HTTP or by UDP: one has to stay")
    from .serving_trackers import Serving, serve

    return serve(Serving(**given))


@commands.command()
@click.option("--size", metavar="N", callback=options.byte_count, default="256M", help="How much. Default: 256M.")
@options.log_options
def demo(size: int) -> int:
    """Share made-up files between two programs on this machine, with proof.

    Makes files and a torrent of them, seeds it, downloads it over loopback, compares every file, and says how fast it
    was. Everything is in a temporary directory and removed at the end.
    """
    from .demo import demo as run

    return run(size)


commands.add_command(dht)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line. Answers the exit code: 0 done, 1 failed, 2 bad usage, 130 interrupted."""
    _open_missing_streams()
    for number in (signal.SIGINT, signal.SIGTERM):  # shells that run us behind have it ignored; who sends it means it
        signal.signal(number, signal.default_int_handler)
    logs.start("warning")
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # names that the terminal cannot show
    try:
        code = commands.main(arguments, prog_name="anabranch", standalone_mode=False)
        sys.stdout.flush()
    except click.UsageError as bad:
        bad.show()
        return MISUSED
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except BrokenPipeError:  # whoever read our output has gone; Python would complain once more at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return FAILED
    except Exception as error:  # noqa: BLE001 # bulkhead: the command line
        return _explain(error)
    return code if isinstance(code, int) else 0


def _open_missing_streams() -> None:
    """Have somewhere to write to where the caller closed it (`>&-`); else the next file opened is taken for stdout."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            setattr(sys, name, open(number, "r" if number == 0 else "w", closefd=False))  # noqa: SIM115 # it stays open


def _explain(error: Exception) -> int:
    from anabranch.metainfo import printable
    from anabranch.model import TorrentError

    if isinstance(error, TorrentError):
        text = str(error)
    elif isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        text = where + (error.strerror or str(error))
    elif logs.verbose():
        import logging

        logging.getLogger(__name__).error("internal error", exc_info=error)
        text = "this is a mistake of ours; please report the lines above"
    else:
        text = f"internal error: {type(error).__name__}: {error}; please report it, with what -v prints"
    for line in text.splitlines():  # it may repeat what a stranger wrote
        print(f"anabranch: {printable(line)}", file=sys.stderr)
    return FAILED
