"""HTTP servers that have a torrent's content: what may be asked of each, in which order, and what answers mean."""

from .answers import Head, judge
from .faults import BadAnswer, FileMissing, TooFast
from .parts import Part, parts_of
from .planner import DEPRIORITIZED, NOT_WANTED, Candidate, Plan, Standing, plan
from .requests import (
    CONNECTIONS,
    FEW_CONNECTIONS,
    HOST_REQUESTS,
    LONGEST_REST,
    LOW_WATER,
    PLAN_EVERY,
    SPARE_CONNECTIONS,
    STARTERS,
    Key,
    Request,
    Requests,
    State,
)
from .seeds import PENANCE, Kind, Source, WebSeed, web_seed
from .slices import (
    SLICE_SIZE,
    Placed,
    first_of_slices,
    partial_slices,
    pieces_per_slice,
    run_from,
    slice_of,
    slice_range,
    spread,
)

__all__ = [
    "CONNECTIONS",
    "DEPRIORITIZED",
    "FEW_CONNECTIONS",
    "HOST_REQUESTS",
    "LONGEST_REST",
    "LOW_WATER",
    "NOT_WANTED",
    "PENANCE",
    "PLAN_EVERY",
    "SLICE_SIZE",
    "SPARE_CONNECTIONS",
    "STARTERS",
    "BadAnswer",
    "Candidate",
    "FileMissing",
    "Head",
    "Key",
    "Kind",
    "Part",
    "Placed",
    "Plan",
    "Request",
    "Requests",
    "Source",
    "Standing",
    "State",
    "TooFast",
    "WebSeed",
    "first_of_slices",
    "judge",
    "partial_slices",
    "parts_of",
    "pieces_per_slice",
    "plan",
    "run_from",
    "slice_of",
    "slice_range",
    "spread",
    "web_seed",
]
