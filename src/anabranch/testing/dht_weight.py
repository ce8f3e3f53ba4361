"""What an object holds in memory, counted object by object: to tell what a flood has left behind."""

from __future__ import annotations

import gc
import sys
from types import (
    BuiltinFunctionType,
    CodeType,
    FrameType,
    FunctionType,
    MethodType,
    ModuleType,
    WrapperDescriptorType,
)

_NOT_ITS_OWN = (  # they belong to the program, or lead to whoever listens
    type,
    ModuleType,
    FunctionType,
    BuiltinFunctionType,
    MethodType,
    CodeType,
    FrameType,
    WrapperDescriptorType,
)


def weight(*things: object) -> int:
    """Bytes of everything that can be reached from there; classes, modules, and functions with what they are bound to
    count for nothing."""
    seen: set[int] = set()
    waiting: list[object] = list(things)
    total = 0
    while waiting:
        thing = waiting.pop()
        if id(thing) in seen or isinstance(thing, _NOT_ITS_OWN):
            continue
        seen.add(id(thing))
        total += sys.getsizeof(thing)
        waiting.extend(gc.get_referents(thing))
    return total
