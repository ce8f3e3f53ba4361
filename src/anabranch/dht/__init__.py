"""The DHT: a table of peers and small items that is spread over all clients (BEP 5).

Everything up to `Node` is a machine without I/O; `dht_io.py` puts nodes on sockets.
"""

from .bootstrap_io import BOOTSTRAP
from .contacts import Contact
from .dht_io import Dht, new_key
from .faults import DhtFault
from .items import Item, ItemRefused, public_key, sign, target_of
from .krpc import Answer, Malformed, Query, Refusal, read
from .node import Node
from .operations import Announcing, Looked, Operation, Pong, Reply, Samples
from .remembering import nameless
from .secure_ids import is_secure, node_id_for
from .stats import NodeStats
from .summaries import DhtStats, NodeSummary
from .table import Table

__all__ = [
    "BOOTSTRAP",
    "Announcing",
    "Answer",
    "Contact",
    "Dht",
    "DhtFault",
    "DhtStats",
    "Item",
    "ItemRefused",
    "Looked",
    "Malformed",
    "Node",
    "NodeStats",
    "NodeSummary",
    "Operation",
    "Pong",
    "Query",
    "Refusal",
    "Reply",
    "Samples",
    "Table",
    "is_secure",
    "nameless",
    "new_key",
    "node_id_for",
    "public_key",
    "read",
    "sign",
    "target_of",
]
