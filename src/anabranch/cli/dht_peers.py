"""`anabranch dht ping`, `get-peers`, `announce` and `sample`: who is there, and who has what."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial

from anabranch.dht import Announcing, DhtFault, Looked, Pong, Samples, is_secure
from anabranch.metainfo import Magnet, load, printable
from anabranch.model import Address, InfoHash, InputRefused
from anabranch.net import resolve_soon

from . import words
from .asking import known_by
from .dht_node import NothingFound, Reach, Visit, effort, effort_facts, visit
from .main import FAILED
from .options import is_magnet

_ID_LENGTH = 20  # bytes


def ping(reach: Reach, node: tuple[str, int]) -> int:
    """Ping all addresses of a node. Answers the exit code.

    Raises:
        NothingFound: none answers; with what is known of each.
    """

    async def work(at: Visit) -> int:
        addresses = await resolve_soon(*node)

        async def one(address: Address) -> Pong | DhtFault:
            try:
                async with asyncio.timeout(at.left):
                    return await at.dht.ping(address)
            except TimeoutError:
                return DhtFault(f"no answer from {address} in {reach.timeout:g} s")
            except DhtFault as fault:
                return fault

        answers = await asyncio.gather(*map(one, addresses))
        silent: list[str] = []
        for address, answer in zip(addresses, answers, strict=True):
            if isinstance(answer, DhtFault):
                silent.append(_blame(address, answer))
            if reach.json:
                print(json.dumps(pong_facts(address, answer)))
            elif isinstance(answer, Pong):
                print("\n".join(pong_lines(answer)))
        if len(silent) == len(addresses):
            raise NothingFound("\n".join(silent))
        for line in silent:
            at.remark(line)
        return 0

    return visit(reach, work, alone=True)


def pong_facts(address: Address, answer: Pong | DhtFault) -> dict[str, object]:
    """An answer as values for JSON; null for what is not known."""
    pong = answer if isinstance(answer, Pong) else None
    return {
        "address": str(address),
        "id": pong and pong.id.hex(),
        "secure": pong and is_secure(pong.id, address.host),
        "version": pong and _version(pong.version),
        "seconds": pong and round(pong.seconds, 4),
        "external": (pong and pong.external) or None,
        "error": "" if pong else str(answer),
    }


def pong_lines(pong: Pong) -> Iterator[str]:
    """The same for people, of one who answered."""
    yield f"{pong.address}  answered in {1000 * pong.seconds:.1f} ms"
    fits = "" if is_secure(pong.id, pong.address.host) else "  (does not fit its address: BEP 42)"
    yield f"  Id       {pong.id.hex()}{fits}"
    if pong.version:
        yield f"  Version  {_version(pong.version)}"
    if pong.external:
        yield f"  We are   {pong.external}"


def _blame(address: Address, fault: DhtFault) -> str:
    said = str(fault)
    return said if str(address) in said else f"{address}: {said}"


def _version(version: bytes) -> str:
    """The two letters by which the program is known, and in hex what follows, which each has in a way of its own."""
    if version[:2].isalnum():
        return f"{version[:2].decode()} {version[2:].hex()}".rstrip()
    return version.hex()


def get_peers(reach: Reach, torrent: str, scrape: bool) -> int:
    """Look a torrent's peers up. Answers the exit code: FAILED where there are none."""
    hashes = public_hashes(torrent)

    async def work(at: Visit) -> int:
        await at.enter()
        told: dict[Address, None] = {}
        found = False
        for info_hash in hashes:
            heard: list[Address] = []

            def show(heard: list[Address] = heard) -> None:
                news = [address for address in dict.fromkeys(heard) if address not in told]
                told.update(dict.fromkeys(news))
                heard.clear()
                if news and not reach.json:
                    print("\n".join(map(str, news)), flush=True)

            looks = [at.look(partial(at.dht.search, info_hash, heard.extend), show)]
            if scrape:  # nodes that count tell no peers then, libtorrent 2.1.1's among them
                looks.append(at.look(partial(at.dht.search, info_hash, heard.extend, scrape=True), show))
            looked = _together(await asyncio.gather(*looks))
            if reach.json:
                print(json.dumps(peers_facts(info_hash, looked)))
            at.remark(f"{info_hash}: {words.counted(len(looked.peers), 'peer')}{_estimate(looked)}; {effort(looked)}")
            found = found or bool(looked.peers or looked.seeds or looked.leechers)
        return 0 if found else FAILED

    return visit(reach, work)


def peers_facts(info_hash: InfoHash, looked: Looked) -> dict[str, object]:
    """A look-up as values for JSON."""
    return {
        "info_hash": str(info_hash),
        "peers": [str(address) for address in looked.peers],
        "seeds": looked.seeds,
        "leechers": looked.leechers,
        **effort_facts(looked),
    }


def _together(looks: Sequence[Looked]) -> Looked:
    """What look-ups for peers of one torrent have found at the same time; the last of them was also told how many."""
    return replace(
        looks[-1],
        peers=tuple(dict.fromkeys(address for looked in looks for address in looked.peers)),
        asked=sum(looked.asked for looked in looks),
        answered=sum(looked.answered for looked in looks),
        seconds=max(looked.seconds for looked in looks),
    )


def _estimate(looked: Looked) -> str:
    if looked.seeds is None or looked.leechers is None:
        return ""
    return f", of about {words.counted(looked.seeds, 'seed')} and {words.counted(looked.leechers, 'downloader')}"


def announce(reach: Reach, torrent: str, port: int, seed: bool) -> int:
    """Announce that we have a torrent. Answers the exit code.

    Raises:
        NothingFound: no node took it; with what the first of them said.
    """
    hashes = public_hashes(torrent)
    announcing = Announcing(port, implied=False, seed=seed)

    async def work(at: Visit) -> int:
        await at.enter()
        for info_hash in hashes:
            looked = await at.look(partial(at.dht.search, info_hash, lambda heard: None, announce=announcing))
            if reach.json:
                print(json.dumps(announce_facts(info_hash, port, looked)))
            if not looked.stored:
                raise NothingFound(f"{info_hash}: {nobody_took_it(looked)}")
            if not reach.json:
                print(f"{info_hash}: port {port} announced to {words.counted(looked.stored, 'node')}", flush=True)
            at.remark(effort(looked))
        return 0

    return visit(reach, work)


def announce_facts(info_hash: InfoHash, port: int, looked: Looked) -> dict[str, object]:
    """What came of an announce as values for JSON."""
    return {
        "info_hash": str(info_hash),
        "port": port,
        "stored": looked.stored,
        "refused": list(looked.refused),
        **effort_facts(looked),
    }


def nobody_took_it(looked: Looked) -> str:
    """Why something is stored nowhere, in words."""
    reason = f": {looked.refused[0]}" if looked.refused else ""
    return f"no node took it{reason}; {effort(looked)}"


def sample(reach: Reach, target: bytes | None, node: tuple[str, int] | None) -> int:
    """Ask one node, or those nearest to a target, for a sample of what they have. Answers the exit code.

    Raises:
        NothingFound: nobody told of any torrent; with what the first of them said.
    """
    place = target or os.urandom(_ID_LENGTH)

    async def work(at: Visit) -> int:
        if node is not None:
            addresses: Sequence[Address] = await resolve_soon(*node)
        else:
            await at.enter()
            looked = await at.dht.find_node(place)
            addresses = [contact.address for contact in looked.closest]
        told: set[bytes] = set()
        answers: list[Samples | DhtFault] = []

        async def one(address: Address) -> None:
            answer: Samples | DhtFault
            try:
                answer = await at.dht.sample(address, place)
            except DhtFault as fault:
                answer = fault
            answers.append(answer)
            if reach.json:
                print(json.dumps(sample_facts(address, answer)), flush=True)
            elif isinstance(answer, Samples):
                for info_hash in answer.hashes:
                    if info_hash not in told:
                        print(info_hash.hex(), flush=True)
                told.update(answer.hashes)

        with suppress(TimeoutError):  # what was told by then is told
            async with asyncio.timeout(at.left):
                await asyncio.gather(*map(one, addresses))
        good = [answer for answer in answers if isinstance(answer, Samples)]
        if not good:
            reason = f": {answers[0]}" if answers else ""
            raise NothingFound(f"{words.counted(len(addresses), 'node')} asked, none told a sample{reason}")
        fullest = max(answer.total for answer in good)
        at.remark(
            f"{words.counted(len(told), 'torrent')}, told by {len(good)} of {words.counted(len(addresses), 'node')}, "
            f"of which one keeps {fullest}"
        )
        return 0 if any(answer.hashes for answer in good) else FAILED

    return visit(reach, work, alone=node is not None)


def sample_facts(address: Address, answer: Samples | DhtFault) -> dict[str, object]:
    """A node's sample as values for JSON; null for what is not known."""
    samples = answer if isinstance(answer, Samples) else None
    return {
        "node": str(address),
        "hashes": [info_hash.hex() for info_hash in samples.hashes] if samples else [],
        "total": samples and samples.total,
        "interval": samples and samples.interval,
        "error": "" if samples else str(answer),
    }


def public_hashes(torrent: str) -> tuple[InfoHash, ...]:
    """What the DHT knows a torrent by: of a hybrid both its hashes.

    Args:
        torrent: An info hash, a magnet link, or the path of a .torrent file.

    Raises:
        InputRefused: it is private, or no torrent.
        click.BadParameter: none of all these.
    """
    if is_magnet(torrent):
        return Magnet.parse(torrent).swarm_hashes
    if not (os.path.exists(torrent) or torrent.endswith(".torrent")):
        return (known_by(torrent)[0],)
    info = load(torrent).info
    if info.private:
        name = printable(info.name)
        raise InputRefused(
            f"{name} is private: its peers come from its trackers, and the DHT is not told of it (BEP 27)"
        )
    return info.swarm_hashes
