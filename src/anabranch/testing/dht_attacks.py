"""Every way to attack a DHT node, by its name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .dht_floods import FLOODS
from .dht_poisons import POISONS
from .dht_scene import DhtScript
from .dht_spoilers import SPOILERS


@dataclass(frozen=True, slots=True)
class DhtAttack:
    """What an attack does, and its script."""

    about: str
    script: DhtScript


DHT_ATTACKS: Mapping[str, DhtAttack] = {
    name: DhtAttack(about, script) for name, (about, script) in {**SPOILERS, **FLOODS, **POISONS}.items()
}
