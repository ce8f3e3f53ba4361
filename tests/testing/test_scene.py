"""What a script learns of the other side."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from anabranch.testing import Frame, Scene
from anabranch.wire import Block, Choke, Handshake, Have, KeepAlive, OurExtensions, Unchoke, encode
from testing.conversation import small_info


def scene() -> Scene:
    return Scene(small_info(), dials=True, draw=Random(0))


def said() -> bytes:
    """A handshake and what may come behind it."""
    payload = b"\0" + OurExtensions(names={"ut_pex": 9}, version="v", reqq=5).payload()
    handshake = Handshake.ours(small_info().info_hash, b"-VI0001-abcdefghijkl").encode()
    messages = encode(Have(3)) + encode(KeepAlive()) + encode(Block(0, 0, b"x" * 100)) + encode(Unchoke())
    return handshake + messages + (1 + len(payload)).to_bytes(4, "big") + b"\x14" + payload


@given(st.lists(st.integers(1, 40)))
def test_what_comes_is_read_the_same_however_it_is_cut(cuts: list[int]) -> None:
    """Frames carry their length; blocks and keep-alives are passed over."""
    whole, read = said(), scene()
    for cut in cuts:
        read.receive(whole[:cut])
        whole = whole[cut:]
    read.receive(whole)
    assert [frame.kind for frame in read.frames] == [4, 1, 20]
    assert read.take()[0] == Frame(4, b"\0\0\0\x03")
    assert not read.frames
    assert not read.choked
    assert read.ids["ut_pex"] == 9
    assert read.their_id == b"-VI0001-abcdefghijkl"


@given(st.binary(), st.booleans())
def test_any_bytes_are_taken(noise: bytes, greeted: bool) -> None:
    """It is the other side's test: what it says must not end ours."""
    scene().receive(said() + noise if greeted else noise)


def test_another_protocol_is_told_by_its_first_bytes() -> None:
    """Who begins with encryption is hung up on, and mostly comes back without."""
    read = scene()
    read.receive(b"\x13BitT")
    assert not read.strange
    read.receive(b"!")
    assert read.strange


def test_being_choked_and_unchoked_is_remembered() -> None:
    """Who asks should know."""
    read = scene()
    read.receive(said())
    assert not read.choked
    read.receive(encode(Choke()))
    assert read.choked


def test_without_content_made_up_bytes_are_served_the_same_each_time() -> None:
    """A seed decides everything."""
    assert scene().content(1, 2, 50) == scene().content(1, 2, 50)
    assert len(scene().content(0, 0, 16384)) == 16384
