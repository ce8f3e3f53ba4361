"""For tests, in this project and in others: hostile peers, honest ones that follow a script, swarms in virtual time."""

from .content_io import content_in, content_of
from .kinds import KINDS, Attack
from .peers_io import HostilePeer, ScriptedPeer
from .saying import greeted, repeated, shake_hands
from .scene import Content, Deaf, Frame, Hear, Pause, Reset, Scene, Script, Step, Steps
from .sources import right, serving
from .swarm import SimulatedSwarm
from .swarm_node import SimulatedNode, simulated_config
from .swarm_peers import PeerKind, ScriptedNode
from .swarm_report import AvailabilitySample, NodeReport, ReaderReport, SwarmReport, best_time

__all__ = [
    "KINDS",
    "Attack",
    "AvailabilitySample",
    "Content",
    "Deaf",
    "Frame",
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
    "SwarmReport",
    "best_time",
    "content_in",
    "content_of",
    "greeted",
    "repeated",
    "right",
    "serving",
    "shake_hands",
    "simulated_config",
]
