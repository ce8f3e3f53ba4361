"""For tests, in this project and in others: hostile and scripted peers, swarms in virtual time, checks of storage."""

from .conformance import SPACE, ConformanceFailed, StorageCheck
from .content_io import content_in, content_of
from .faulty import Fault, Faults, FaultyStorage, Gate
from .kinds import KINDS, Attack
from .peers_io import HostilePeer, ScriptedPeer
from .saying import greeted, repeated, shake_hands
from .scene import Content, Deaf, Frame, Hear, Pause, Reset, Scene, Script, Step, Steps
from .sources import right, serving
from .storage_checks import STORAGE_CHECKS, check_storage
from .swarm import SimulatedSwarm
from .swarm_node import SimulatedNode, simulated_config
from .swarm_peers import PeerKind, ScriptedNode
from .swarm_report import AvailabilitySample, NodeReport, ReaderReport, SwarmReport, best_time

__all__ = [
    "KINDS",
    "SPACE",
    "STORAGE_CHECKS",
    "Attack",
    "AvailabilitySample",
    "ConformanceFailed",
    "Content",
    "Deaf",
    "Fault",
    "Faults",
    "FaultyStorage",
    "Frame",
    "Gate",
    "Hear",
    "HostilePeer",
    "NodeReport",
    "Pause",
    "PeerKind",
    "ReaderReport",
    "Reset",
    "Scene",
    "Script",
    "ScriptedNode",
    "ScriptedPeer",
    "SimulatedNode",
    "SimulatedSwarm",
    "Step",
    "Steps",
    "StorageCheck",
    "SwarmReport",
    "best_time",
    "check_storage",
    "content_in",
    "content_of",
    "greeted",
    "repeated",
    "right",
    "serving",
    "shake_hands",
    "simulated_config",
]
