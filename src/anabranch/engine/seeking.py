"""Looking for peers in the DHT and in the local network: whom for, when, and what comes of it.

Sources: the DHT announcer of a fork of the Go engine: as long as a torrent wants connections it is searched for and
announced in windows of five minutes, and who begins to want some waits a little, so that those who are woken together
do not all ask at once. Ours: one schedule instead of a task for each torrent, which looks at a torrent when its wish
for connections changes and at no other event; torrents that lack nothing are announced every 15 minutes, as by
libtorrent; what nobody answered is tried again after a pause; a pace for all, and what was just added goes first. BEP
14 for the local network. Private torrents are never looked for (privacy.py). Within a turn; discovery_io.py asks.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from anabranch.model import Address, InfoHash

from . import events
from .directory import names_of
from .engine import Engine
from .metrics import SEARCHES
from .privacy import discovery_allowed
from .stage import Learning, Live
from .state import Search, TorrentState

WINDOW = 300.0  # seconds from one search for a torrent that lacks something to the next
SEEDING = 900.0  # the same for one that lacks nothing: nodes keep what they are told for half an hour
LOCALLY = 300.0  # seconds between names in the local network (BEP 14)
JITTER = 0.05  # seconds that a torrent waits at most when it begins to want connections again
AT_ONCE = 32  # torrents that are searched for
_FIRST_PAUSE = 10.0  # seconds after a search that nobody answered; doubled by each further one, up to a window
_MOST_NODES = 20  # of a torrent file that are asked whether they are there


def wants_connections(engine: Engine, torrent: TorrentState) -> bool:
    """Whether the torrent has a use for more peers, and room for them, and we can meet any."""
    if not isinstance(torrent.stage, Live | Learning) or torrent.is_full:
        return False
    config, policy = engine.config, torrent.policy
    if config.disable_tcp or not (config.dial_peers or config.accept_peers):
        return False  # there is nothing to connect by
    serves = policy.upload and config.seed and not config.no_upload and torrent.pieces.complete_count > 0
    return _lacks(torrent) or serves or config.always_want_connections


def _lacks(torrent: TorrentState) -> bool:
    return isinstance(torrent.stage, Learning) or (torrent.policy.download and torrent.pieces.missing_wanted > 0)


def begin(engine: Engine, torrent: TorrentState) -> None:
    """The torrent takes part in its swarm, or its name is known: look for peers, and take the nodes it knows."""
    add_node = engine.due.seekers.add_node
    if add_node is not None and discovery_allowed(torrent, "dht"):
        for host, port in torrent.metainfo.nodes[:_MOST_NODES]:
            engine.turn.outbox("dht node", (torrent, host, port), engine.network.call, add_node, host, port)
    look(engine, torrent)


def look(engine: Engine, torrent: TorrentState) -> None:
    """Each second of a torrent that has something going on: the wish for connections may have changed."""
    seeking = torrent.swarm.seeking
    wanted = wants_connections(engine, torrent)
    if wanted is seeking.wanted:
        return
    woken, seeking.wanted = seeking.wanted is not None, wanted
    seekers = engine.due.seekers
    if not wanted:
        seekers.dht.forget(torrent)
        seekers.local.forget(torrent)
        return
    now = engine.clock()
    earliest = now + JITTER * engine.draw(1024) / 1024 if woken else now
    searched = engine.config.dht_announce and not engine.config.disable_dht and torrent not in seekers.under_way
    if searched and discovery_allowed(torrent, "dht"):
        at = max(earliest, seeking.searched_at + _every(torrent))
        if not woken and _lacks(torrent) and seeking.searched_at == -inf:
            at = -now  # before all that are due already, the newest first: somebody waits for it
        seekers.dht.put(torrent, at)
    if not engine.config.disable_lsd and discovery_allowed(torrent, "lsd"):
        seekers.local.put(torrent, max(earliest, seeking.told_at + LOCALLY))
    engine.turn.outbox("dial", engine, engine.network.look_for_peers)


def take(engine: Engine, now: float) -> list[TorrentState]:
    """The torrents to search for in the DHT now. Each of them is to come back by ended()."""
    seekers = engine.due.seekers
    due: list[TorrentState] = []
    while len(seekers.under_way) < AT_ONCE and seekers.budget.ready_at(now) <= now:
        torrent = seekers.dht.due(now)
        if torrent is None:
            break
        if wants_connections(engine, torrent) and discovery_allowed(torrent, "dht"):
            seekers.budget.grant(1, now)
            seekers.under_way.add(torrent)
            torrent.swarm.seeking.searched_at = now
            due.append(torrent)
        else:
            torrent.swarm.seeking.wanted = False
    return due


def deadline(engine: Engine, now: float, *, nodes: bool = True) -> float:
    """When take() or name() is due again; without *nodes* there is nobody to search with."""
    seekers = engine.due.seekers
    search, local = seekers.dht.deadline(), seekers.local.deadline()
    if not nodes or len(seekers.under_way) >= AT_ONCE:
        search = inf
    return min(
        max(search, seekers.budget.ready_at(now)) if search < inf else inf,
        max(local, seekers.local_budget.ready_at(now)) if local < inf else inf,
    )


def begun(engine: Engine, torrent: TorrentState, searches: Sequence[Search]) -> None:
    """These searches for the torrent are under way; where it is not to be searched for any more, they end."""
    if torrent.swarm.seeking.wanted is not None and discovery_allowed(torrent, "dht"):
        torrent.swarm.seeking.searches = list(searches)
    else:
        for search in searches:
            engine.turn.outbox("cancel search", search, engine.network.call, search.cancel, engine.clock())


def ended(engine: Engine, torrent: TorrentState, answered: int) -> None:
    """All searches for the torrent have come to their end, or were cancelled; so many nodes had answered."""
    seekers, seeking = engine.due.seekers, torrent.swarm.seeking
    seekers.under_way.discard(torrent)
    seeking.searches = []
    if (metrics := engine.metrics) is not None:
        metrics.add(SEARCHES, "answered" if answered else "nobody")
    if answered:
        seeking.failures = 0
        pause = _every(torrent)
    else:
        pause = min(_FIRST_PAUSE * 2 ** min(seeking.failures, 10), _every(torrent))
        seeking.failures += 1
    if seeking.wanted and discovery_allowed(torrent, "dht"):
        seekers.dht.put(torrent, (seeking.searched_at if answered else engine.clock()) + pause)


def name(engine: Engine, now: float) -> list[InfoHash]:
    """The names that the local network is to be told now."""
    names: list[InfoHash] = []
    agenda, budget = engine.due.seekers.local, engine.due.seekers.local_budget
    while budget.ready_at(now) <= now and (torrent := agenda.due(now)) is not None:
        if wants_connections(engine, torrent) and discovery_allowed(torrent, "lsd"):
            torrent.swarm.seeking.told_at = now
            agenda.put(torrent, now + LOCALLY)
            ours = names_of(torrent)
            budget.grant(len(ours), now)
            names += ours
        else:
            torrent.swarm.seeking.wanted = False  # look() makes new appointments when that changes
    return names


def found(engine: Engine, torrent: TorrentState, addresses: Sequence[Address], source: str) -> None:
    """Peers of the torrent were found; those that we are ourselves, or that are banned, are not taken."""
    if not discovery_allowed(torrent, source) or not isinstance(torrent.stage, Live | Learning):
        return
    ours, banned, candidates = engine.network.ourselves, engine.banned, torrent.swarm.candidates
    new = sum([candidates.add(one, source) for one in addresses if one not in ours and one.host not in banned])
    if new:
        engine.due.lively.add(torrent)
        engine.turn.outbox("dial", engine, engine.network.look_for_peers)
        engine.tell(events.PeersFound(torrent.info_hash, source, len(addresses), new))


def named(engine: Engine, info_hash: bytes, address: Address, source: str) -> None:
    """Somebody says of itself that it has the torrent of that name: to our DHT node, or in the local network."""
    torrent = engine.directory.get(InfoHash(info_hash))
    if torrent is not None:
        found(engine, torrent, [address], source)


def _every(torrent: TorrentState) -> float:
    return WINDOW if _lacks(torrent) else SEEDING
