"""Every kind of hostile peer by its name: what it does, in how many connections, and how soon it comes back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from . import breaking, doorstep, floods, sources
from .saying import greeted, hash_request, peer_list, repeated
from .scene import Scene, Script


@dataclass(frozen=True, slots=True)
class Attack:
    """One kind of misbehaviour.

    Args:
        about: What it does, for a list.
        script: How each of its connections goes.
        crowd: Connections that one attacker has at a time, when it dials.
        again: Seconds until a connection that ended is dialed anew.
        lies: It may give wrong data: who notices may ban it.
    """

    about: str
    script: Script
    crowd: int = 1
    again: float = 1.0
    lies: bool = False


def _peers(scene: Scene) -> bytes:
    return peer_list(scene, 50)


def _after(script: Script, about: str, *, lies: bool = False) -> Attack:
    return Attack(about, greeted(script), lies=lies)


_DOORSTEP = {
    "garbage": Attack("random bytes from the first on", doorstep.noise),
    "late-garbage": Attack("a handshake, then random bytes", doorstep.noise_after_handshake),
    "half-handshake": Attack("part of a handshake, then silence", doorstep.half_handshake),
    "slow-handshake": Attack("a handshake byte by byte", doorstep.slow_handshake),
    "wrong-hash": Attack("a handshake about another torrent", doorstep.wrong_hash),
    "self-id": Attack("the victim's own peer id", doorstep.their_own_id),
    "endless-key": Attack("an encrypted handshake that never ends", doorstep.endless_key),
    "silent-crowd": Attack("300 connections and not a word", doorstep.silence, crowd=300),
    "knock": Attack("connections that end at once, for ever", doorstep.knock, crowd=4, again=0.0),
    "come-and-go": Attack("handshakes, and gone, for ever", doorstep.come_and_go, crowd=4, again=0.0),
}

_BREAKING = {
    "huge-length": _after(breaking.huge_length, "messages of gigabytes"),
    "long-bitfield": Attack("a bitfield that is too long", breaking.bitfield(breaking.long_bits)),
    "short-bitfield": Attack("a bitfield that is too short", breaking.bitfield(breaking.short_bits)),
    "spare-bits": Attack("a bitfield with spare bits set", breaking.bitfield(breaking.spare_bits)),
    "have-beyond": _after(breaking.said(breaking.have_nothing_there), "haves out of bounds"),
    "fast-beyond": _after(breaking.said(breaking.fast_nothing_there), "suggestions out of bounds"),
    "reject-beyond": _after(breaking.said(breaking.reject_beyond), "refusals out of bounds"),
    "fast-unsaid": Attack("fast messages without the fast extension", breaking.unknown_fast),
    "request-beyond": _after(breaking.after_unchoke(breaking.request_beyond), "requests out of bounds"),
    "request-huge": _after(breaking.after_unchoke(breaking.request_huge), "requests of gigabytes"),
    "request-zero": _after(breaking.after_unchoke(breaking.request_zero), "requests of nothing"),
    "deep-handshake": _after(breaking.said(breaking.deep_handshake), "an extended handshake 200,000 deep"),
    "deep-metadata": _after(breaking.said(breaking.deep_metadata), "a metadata message 200,000 deep"),
    "deep-peers": _after(breaking.said(breaking.deep_peers), "a peer list 200,000 deep"),
    "port-zero": _after(breaking.said(breaking.port_zero), "port 0 in every place"),
    "odd-handshake": _after(breaking.said(breaking.odd_introduction), "an extended handshake of wrong types"),
}

_SOURCES = {
    "wrong-data": _after(sources.serving(sources.wrong), "every block wrong", lies=True),
    "mixed-data": _after(sources.serving(sources.mixed), "one block in four wrong", lies=True),
    "misplaced-blocks": _after(sources.serving(sources.misplaced), "blocks of a wrong length or place", lies=True),
    "unasked-blocks": _after(sources.unasked, "blocks that nobody asked for", lies=True),
    "empty-blocks": _after(sources.empty_blocks, "blocks of no bytes", lies=True),
    "dribble": _after(sources.serving(sources.dribbled), "blocks byte by byte", lies=True),
    "tarpit": Attack("12 connections, blocks at a byte a second", greeted(sources.serving(sources.tarred)), crowd=12),
    "unchoke-again": _after(sources.unchoked_again, "requests are never answered, and unchoked again"),
    "never-answer": _after(sources.serving(sources.unanswered), "requests are never answered"),
    "reject-all": _after(sources.serving(sources.rejected), "requests are all refused"),
    "choke-flapping": _after(sources.serving(sources.choked_instead), "each request is choked, and unchoked soon"),
    "reset": _after(sources.serving(sources.reset_within), "the connection breaks within a block"),
    "huge-metadata": _after(sources.huge_metadata, "metadata of 2 GiB, and pieces of it"),
    "bogus-metadata": _after(sources.bogus_metadata, "metadata of wrong bytes"),
}

_TAKERS = {
    "never-reads": _after(floods.never_reads, "everything is asked for and nothing read"),
    "allowed-again": Attack("allowed pieces over and over, coming back", floods.allowed_again, again=0.0),
    "lying-haves": Attack("pieces that it has not got, one by one", greeted(floods.lying_haves, has=False)),
    "flood-requests": _after(floods.same_block, "the same block over and over"),
    "flood-cancels": _after(floods.cancels, "requests and their cancels"),
}

_FLOODS = {
    "flood-keep-alives": _after(repeated(floods.keep_alives), "keep-alives"),
    "flood-haves": _after(repeated(floods.haves), "haves"),
    "flood-lost-pieces": _after(repeated(floods.lost_pieces), "pieces lost and got again"),
    "flood-bitfields": _after(repeated(floods.bitfields), "all pieces and none, in turn"),
    "flood-interest": _after(repeated(floods.interest), "interested and not, in turn"),
    "flood-chokes": _after(repeated(floods.chokes), "choke and unchoke, in turn"),
    "flood-suggestions": _after(repeated(floods.suggestions), "suggested and allowed pieces"),
    "flood-rejects": _after(repeated(floods.rejects), "refusals of what was not asked"),
    "flood-ports": _after(repeated(floods.ports), "DHT ports"),
    "flood-unknown": _after(repeated(floods.unknown), "messages of unknown ids"),
    "flood-extensions": _after(repeated(floods.extensions), "extension messages full of noise"),
    "flood-garbled": _after(repeated(floods.garbled_extensions), "extension messages that are nearly right"),
    "flood-introductions": _after(repeated(floods.introductions), "extended handshakes"),
    "flood-peers": _after(repeated(_peers), "peer lists"),
    "flood-metadata-requests": _after(repeated(floods.metadata_requests), "requests for metadata"),
    "flood-metadata": _after(repeated(floods.metadata_pieces), "metadata that nobody asked for"),
    "flood-hash-requests": _after(repeated(hash_request), "requests for hashes"),
    "flood-hashes": _after(repeated(floods.hashes), "hashes that nobody asked for"),
}

KINDS: Mapping[str, Attack] = MappingProxyType(_DOORSTEP | _BREAKING | _SOURCES | _TAKERS | _FLOODS)
