"""Which block to ask which peer for: the request order, the state of begun pieces, the size of the request window."""

from .order import PieceOrder, Standing
from .progress import PieceProgress, Run, runs_in
from .shared import SharedOrder, Tenant
from .strict import StrictOrder
from .window import RequestWindow

__all__ = [
    "PieceOrder",
    "PieceProgress",
    "RequestWindow",
    "Run",
    "SharedOrder",
    "Standing",
    "StrictOrder",
    "Tenant",
    "runs_in",
]
