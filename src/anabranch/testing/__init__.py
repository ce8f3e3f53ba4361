"""Peers for tests, in this project and in others: hostile ones of every kind, and honest ones that follow a script."""

from .content_io import content_in, content_of
from .kinds import KINDS, Attack
from .peers_io import HostilePeer, ScriptedPeer
from .saying import greeted, repeated, shake_hands
from .scene import Content, Deaf, Frame, Hear, Pause, Reset, Scene, Script, Step, Steps
from .sources import right, serving

__all__ = [
    "KINDS",
    "Attack",
    "Content",
    "Deaf",
    "Frame",
    "Hear",
    "HostilePeer",
    "Pause",
    "Reset",
    "Scene",
    "Script",
    "ScriptedPeer",
    "Step",
    "Steps",
    "content_in",
    "content_of",
    "greeted",
    "repeated",
    "right",
    "serving",
    "shake_hands",
]
