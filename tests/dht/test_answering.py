"""What a node answers, to whom, and how much."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anabranch.bencode import Value
from anabranch.dht import Answer, Contact, Node, Refusal, read, sign
from anabranch.dht.answering import MOST_CHECKS
from anabranch.dht.budgets import LARGE
from anabranch.dht.contacts import pack_address
from anabranch.dht.krpc import query, query_head
from anabranch.dht.purposes import GetItem
from anabranch.model import Address
from dht.small_dht import address, asked, drawing, question

TARGET = b"h" * 20
ASKER = address(60_000)
ARGUMENTS = ["target", "info_hash", "token", "port", "implied_port", "seed", "scrape", "noseed", "want"]
ARGUMENTS += ["v", "k", "sig", "seq", "salt", "cas"]


def node(known: int = 30, *, v6: bool = False, **hooks: Callable[..., object]) -> Node:
    """A node with a table; its look-up for itself is over."""
    one = Node(v6=v6, draw=drawing(), now=0.0, node_id=b"n" * 20, **hooks)  # type: ignore[arg-type]  # hooks of any kind
    for number in range(known):
        where = Address(f"2001:db8:{number}::1", 6881) if v6 else address(number)
        one.table.answered(Contact(drawing(number)(20), where), 0.0)
    return one


def answer(
    one: Node, method: str, source: Address = ASKER, now: float = 1.0, /, **arguments: Value
) -> dict[bytes, Value]:
    """The values of an answer."""
    message = asked(one, question(method, **arguments), source, now)
    assert isinstance(message, Answer), message
    return dict(message.values)


def refused(one: Node, method: str, source: Address = ASKER, now: float = 1.0, /, **arguments: Value) -> int:
    message = asked(one, question(method, **arguments), source, now)
    assert isinstance(message, Refusal), message
    return message.code


def befriend(one: Node, source: Address, now: float = 1.0) -> bytes:
    """Show a token, so that the node knows that we get what it sends; the token."""
    token = answer(one, "get_peers", source, now, info_hash=TARGET)[b"token"]
    assert isinstance(token, bytes)
    answer(one, "announce_peer", source, now, info_hash=b"o" * 20, port=1, token=token)
    return token


def one_token(one: Node, source: Address) -> bytes:
    token = answer(one, "get", source, target=TARGET)[b"token"]
    assert isinstance(token, bytes)
    return token


def test_a_ping_is_answered_with_our_id_and_the_askers_address() -> None:
    """BEP 5 and BEP 42; the transaction id comes back as it was."""
    message = asked(node(), question("ping", b"\0xyz"), ASKER)
    assert message == Answer(b"\0xyz", b"n" * 20, {b"id": b"n" * 20}, b"", ASKER.host)


def test_find_node_tells_the_nearest() -> None:
    """Eight of 26 bytes, nearest first."""
    one = node()
    befriend(one, ASKER)
    nodes = answer(one, "find_node", target=TARGET)[b"nodes"]
    assert nodes == b"".join(one.table.nearest(TARGET, 8))
    assert isinstance(nodes, bytes)
    assert len(nodes) == 8 * 26


def test_get_peers_tells_nodes_a_token_and_who_is_there() -> None:
    """BEP 5."""
    one = node()
    before = answer(one, "get_peers", info_hash=TARGET)
    assert b"values" not in before
    assert b"nodes" in before
    answer(one, "announce_peer", info_hash=TARGET, port=7000, token=before[b"token"])
    assert answer(one, "get_peers", info_hash=TARGET)[b"values"] == [pack_address(Address(ASKER.host, 7000))]


def test_with_an_implied_port_the_port_of_the_datagram_counts() -> None:
    """BEP 5: right behind a NAT."""
    heard: list[tuple[bytes, Address]] = []
    one = node(on_announce=lambda info_hash, peer: heard.append((info_hash, peer)))
    token = answer(one, "get_peers", info_hash=TARGET)[b"token"]
    answer(one, "announce_peer", info_hash=TARGET, port=1, implied_port=1, token=token)
    assert heard == [(TARGET, ASKER)]


@pytest.mark.parametrize("token", [b"", b"made up.", 5, [b"x"]])
def test_who_shows_no_good_token_announces_and_stores_nothing(token: Value) -> None:
    """He might be anybody, in anybody's name."""
    one = node()
    assert refused(one, "announce_peer", info_hash=TARGET, port=1, token=token) == 203
    assert refused(one, "put", v=b"x", token=token) == 203
    assert (len(one.peers), len(one.items)) == (0, 0)


def test_a_token_is_good_for_its_host_only() -> None:
    """Who got it is who may use it."""
    one = node()
    token = answer(one, "get_peers", info_hash=TARGET)[b"token"]
    assert refused(one, "announce_peer", address(60_001), info_hash=TARGET, port=1, token=token) == 203


@pytest.mark.parametrize("port", [0, -1, 65536, b"80", None])
def test_nobody_is_announced_at_a_port_that_is_none(port: Value | None) -> None:
    """Nobody could be dialed there."""
    one = node()
    token = answer(one, "get_peers", info_hash=TARGET)[b"token"]
    arguments: dict[str, Value] = {} if port is None else {"port": port}
    assert refused(one, "announce_peer", info_hash=TARGET, token=token, **arguments) == 203


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("find_node", {}),
        ("find_node", {"target": b"short"}),
        ("get_peers", {"info_hash": 5}),
        ("get", {}),
        ("sample_infohashes", {"target": []}),
    ],
)
def test_arguments_that_are_none_are_refused(method: str, arguments: dict[str, Value]) -> None:
    """With BEP 5's number for it."""
    assert refused(node(), method, **arguments) == 203


def test_a_method_that_nobody_knows_is_refused_with_its_own_number() -> None:
    """BEP 5: 204."""
    one = node()
    assert refused(one, "vote") == 204
    assert one.stats.queries == {"other": 1}


def test_a_query_without_an_id_is_told_so() -> None:
    """As far as it has a transaction id to be answered by."""
    message = asked(node(), b"d1:ade1:q4:ping1:t2:aa1:y1:qe", ASKER)
    assert isinstance(message, Refusal)
    assert message.code == 203


def test_nodes_of_the_families_that_are_wanted_are_told() -> None:
    """BEP 32; who wants nothing gets those of the family he asks over."""
    four, six = node(), node(v6=True)
    four.siblings.append(six)
    befriend(four, ASKER)
    assert {b"nodes", b"nodes6"} <= answer(four, "find_node", target=TARGET, want=[b"n4", b"n6"]).keys()
    only = answer(four, "find_node", target=TARGET, want=[b"n6"])
    assert b"nodes" not in only
    assert only[b"nodes6"] == b"".join(six.table.nearest(TARGET, 8))
    assert b"nodes6" in answer(six, "find_node", Address("2001:db8::7", 1), target=TARGET)


def test_peers_are_counted_by_filters_and_seeds_left_out_for_who_asks_so() -> None:
    """BEP 33."""
    one = node(0)
    befriend(one, ASKER)
    token = answer(one, "get_peers", info_hash=TARGET)[b"token"]
    answer(one, "announce_peer", info_hash=TARGET, port=7000, seed=1, token=token)
    told = answer(one, "get_peers", info_hash=TARGET, scrape=1)
    for key, empty in ((b"BFsd", False), (b"BFpe", True)):
        bloom = told[key]
        assert isinstance(bloom, bytes)
        assert len(bloom) == 256
        assert (bloom == bytes(256)) == empty
    assert b"values" in told
    assert b"values" not in answer(one, "get_peers", info_hash=TARGET, noseed=1)


def test_an_item_is_stored_and_given_back() -> None:
    """BEP 44: of both kinds; who has that version gets its number only."""
    one = node()
    token = befriend(one, ASKER)
    answer(one, "put", v=b"Hello World!", token=token)
    target = bytes.fromhex("e5f96f6f38320f0f33959cb4d3d656452117aadb")  # of BEP 44
    assert answer(one, "get", target=target)[b"v"] == b"Hello World!"
    item = sign(b"news", b"s" * 32, b"salt", 4)
    answer(one, "put", v=b"news", k=item.key, salt=b"salt", seq=4, sig=item.signature, token=token)
    told = answer(one, "get", target=item.target)
    assert (told[b"v"], told[b"k"], told[b"seq"], told[b"sig"]) == (b"news", item.key, 4, item.signature)
    known = answer(one, "get", target=item.target, seq=4)
    assert b"v" not in known
    assert known[b"seq"] == 4


def test_our_own_question_has_room_for_the_largest_item_in_its_answer() -> None:
    """Three times its size: who answers cannot know yet that it is ours. It is no more than one query to budgets."""
    one = node()
    item = sign(b"x" * 996, b"s" * 32, b"l" * 64, 2**62)
    one.items.put(item, ASKER.host, 1.0)
    arguments = GetItem(item.target, item.salt).arguments() | {b"id": b"q" * 20}
    datagram = query(query_head("get", arguments), b"tttt")
    assert len(datagram) < LARGE
    message = asked(one, datagram, ASKER)
    assert isinstance(message, Answer)
    assert message.values[b"v"] == item.value
    assert message.values[b"nodes"]


def test_signatures_are_checked_so_many_times_a_second() -> None:
    """However many hosts store: checking one takes a tenth of a millisecond. Items without signatures are taken."""
    one = node()
    item = sign(b"news", b"s" * 32, b"", 4)
    signed: dict[str, Value] = {"v": b"news", "k": item.key, "seq": 4, "sig": item.signature}
    codes: Counter[int] = Counter()
    for number in range(300):
        source = address(number)
        token = one_token(one, source)
        message = asked(one, question("put", **signed, token=token), source)
        codes[message.code if isinstance(message, Refusal) else 0] += 1
    assert codes == {0: MOST_CHECKS, 202: 300 - MOST_CHECKS}
    answer(one, "put", v=b"unsigned", token=one_token(one, ASKER))
    answer(one, "put", ASKER, 1.1, **signed, token=one_token(one, ASKER))


def test_an_item_that_is_none_is_refused_with_the_number_that_says_why() -> None:
    """BEP 44: 205 to 207, 301 and 302."""
    one = node()
    token = befriend(one, ASKER)
    new = sign(b"new", b"s" * 32, b"", 2)
    signed: dict[str, Value] = {"k": new.key, "seq": 2, "sig": new.signature, "v": b"new", "token": token}
    assert refused(one, "put", v=bytes(1100), token=token) == 205
    assert refused(one, "put", **{**signed, "v": b"other"}) == 206
    assert refused(one, "put", **{**signed, "salt": bytes(65)}) == 207
    assert refused(one, "put", token=token) == 203
    assert refused(one, "put", **{**signed, "seq": b"2"}) == 203
    assert refused(one, "put", **{**signed, "k": 5}) == 203
    answer(one, "put", **signed)
    old = sign(b"old", b"s" * 32, b"", 1)
    assert refused(one, "put", **{**signed, "v": b"old", "seq": 1, "sig": old.signature}) == 302
    assert refused(one, "put", **{**signed, "cas": 1}) == 301


def test_samples_of_the_info_hashes_are_told() -> None:
    """BEP 51."""
    one = node()
    for number in range(5):
        one.peers.announce(bytes([number]) * 20, address(number), False, 1.0)
    told = answer(one, "sample_infohashes", target=TARGET)
    assert told[b"num"] == 5
    assert isinstance(told[b"interval"], int)
    samples = told[b"samples"]
    assert isinstance(samples, bytes)
    assert len(samples) % 20 == 0
    assert samples
    assert b"nodes" in told


def test_peers_are_told_as_many_as_fit_into_a_packet() -> None:
    """Of thousands, a fair sample."""
    one = node()
    for number in range(2000):
        one.peers.announce(TARGET, address(number), False, 1.0)
    befriend(one, ASKER)
    one.receive(question("get_peers", info_hash=TARGET), ASKER, 1.0)
    [(sent, _)] = [out for out in one.outgoing() if isinstance(read(out[0]), Answer)]
    message = read(sent)
    assert isinstance(message, Answer)
    peers = message.values[b"values"]
    assert isinstance(peers, list)
    assert 50 <= len(peers) <= 100
    assert 850 <= len(sent) <= 1100
    assert message.values[b"nodes"]


@pytest.mark.parametrize("v6", [False, True])
@pytest.mark.parametrize("method", ["ping", "find_node", "get_peers", "get", "sample_infohashes", "vote"])
@pytest.mark.parametrize("extra", [{}, {"scrape": 1}, {"want": [b"n4", b"n6"]}])
def test_a_stranger_is_sent_no_more_than_three_times_what_came_in_his_name(
    method: str, v6: bool, extra: dict[str, Value]
) -> None:
    """Pings to see whether he is there included: he may be somebody whom another one wants to flood."""
    one = node(300, v6=v6)
    one.siblings.append(node(300, v6=not v6))
    item = sign(b"x" * 900, b"s" * 32, b"", 1)
    one.items.put(item, "1.2.3.4", 1.0)
    for number in range(500):
        one.peers.announce(TARGET, Address("2001:db8:7::1" if v6 else address(number).host, 1 + number), True, 1.0)
        one.peers.announce(drawing(number)(20), address(number), False, 1.0)
    for number in range(50):
        source = Address(f"2001:db8:{60_000 + number:x}::1", 1) if v6 else address(60_000 + number)
        target = item.target if method == "get" else TARGET
        asking = question(method, bytes(4), target=target, info_hash=TARGET, id=drawing(number)(20), **extra)
        one.receive(asking, source, 2.0 + number)
        sent = 0
        for second in range(10):
            one.tick(2.0 + number + second / 10)
            sent += sum(len(datagram) for datagram, where in one.outgoing() if where == source)
        assert 0 < sent <= 3 * len(asking)


@given(
    st.sampled_from(["ping", "find_node", "get_peers", "announce_peer", "get", "put", "sample_infohashes", "x"]),
    st.dictionaries(
        st.sampled_from(
            [
                "target",
                "info_hash",
                "token",
                "port",
                "implied_port",
                "seed",
                "v",
                "k",
                "sig",
                "seq",
                "salt",
                "cas",
                "want",
                "scrape",
                "noseed",
            ]
        ),
        st.integers(-(10**19), 10**19)
        | st.binary(max_size=70)
        | st.sampled_from([b"h" * 20, b"k" * 32, b"s" * 64])
        | st.lists(st.sampled_from([b"n4", b"n6", 5]) | st.integers(0, 5), max_size=4),
    ),
)
def test_every_query_is_answered_or_refused(method: str, arguments: dict[str, Value]) -> None:
    """Whatever its arguments are, and with a good token too."""
    one = node(3)
    token = befriend(one, ASKER)
    for said in (arguments, {**arguments, "token": token}):
        message = asked(one, question(method, **said), ASKER)
        assert isinstance(message, Answer | Refusal)


def test_who_is_not_to_be_answered_is_not() -> None:
    """The program that uses the engine sees each query, and may forbid it."""
    seen: list[tuple[str, Contact]] = []

    def on_query(method: str, who: Contact) -> bool:
        seen.append((method, who))
        return method != "get"

    one = node(on_query=on_query)
    assert asked(one, question("get", target=TARGET), ASKER) is None
    assert asked(one, question("ping"), ASKER) is not None
    assert seen == [("get", Contact(b"q" * 20, ASKER)), ("ping", Contact(b"q" * 20, ASKER))]
