"""For tests, here and elsewhere: hostile peers, servers, trackers and DHT nodes, swarms in virtual time, storage."""

from .bad_trackers_io import BadTrackers
from .conformance import SPACE, ConformanceFailed, StorageCheck
from .content_io import content_in, content_of
from .dht_attacks import DHT_ATTACKS, DhtAttack
from .dht_liars import LIAR_KINDS, LiarKind
from .dht_report import DhtReport, LookUp, rule_of_thumb
from .dht_scene import DhtScene, Shot
from .dht_siege import Siege, SiegeReport
from .dht_siege_io import SocketAttacker, SocketSiege
from .dht_swarm import SimulatedDht
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
from .tracker_kinds import TRACKER_KINDS
from .tracker_server_io import TrackerServer
from .tracker_talk import TrackerKind
from .web_kinds import WEB_KINDS, WebAnswers, WebKind
from .web_request import HangUp, WebRequest, WebScript, WebSteps, head, right_head
from .web_scripts import at_rate, flipping, in_pieces, redirected, refused
from .web_server_io import WebServer

__all__ = [
    "DHT_ATTACKS",
    "KINDS",
    "LIAR_KINDS",
    "SPACE",
    "STORAGE_CHECKS",
    "TRACKER_KINDS",
    "WEB_KINDS",
    "Attack",
    "AvailabilitySample",
    "BadTrackers",
    "ConformanceFailed",
    "Content",
    "Deaf",
    "DhtAttack",
    "DhtReport",
    "DhtScene",
    "Fault",
    "Faults",
    "FaultyStorage",
    "Frame",
    "Gate",
    "HangUp",
    "Hear",
    "HostilePeer",
    "LiarKind",
    "LookUp",
    "NodeReport",
    "Pause",
    "PeerKind",
    "ReaderReport",
    "Reset",
    "Scene",
    "Script",
    "ScriptedNode",
    "ScriptedPeer",
    "Shot",
    "Siege",
    "SiegeReport",
    "SimulatedDht",
    "SimulatedNode",
    "SimulatedSwarm",
    "SocketAttacker",
    "SocketSiege",
    "Step",
    "Steps",
    "StorageCheck",
    "SwarmReport",
    "TrackerKind",
    "TrackerServer",
    "WebAnswers",
    "WebKind",
    "WebRequest",
    "WebScript",
    "WebServer",
    "WebSteps",
    "at_rate",
    "best_time",
    "check_storage",
    "content_in",
    "content_of",
    "flipping",
    "greeted",
    "head",
    "in_pieces",
    "redirected",
    "refused",
    "repeated",
    "right",
    "right_head",
    "rule_of_thumb",
    "serving",
    "shake_hands",
    "simulated_config",
]
