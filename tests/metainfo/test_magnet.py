"""Magnet links."""

from __future__ import annotations

import re
from base64 import b32encode
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from anabranch.metainfo import Magnet, Metainfo, MetainfoError, create
from anabranch.model import InfoHash, InfoHashV2

V1 = InfoHash(bytes(range(40, 60)))
V2 = InfoHashV2(bytes(range(100, 132)))
LINK = f"magnet:?xt=urn:btih:{V1}"


def parse(parameters: str) -> Magnet:
    """What a link to V1 with more parameters says."""
    return Magnet.parse(f"{LINK}&{parameters}")


@pytest.mark.parametrize(
    "link",
    [
        LINK,
        f"  {LINK.upper()}\n",
        f"magnet:?xt=urn:btih:{b32encode(V1).decode()}",
        f"magnet:?xt=urn:btih:{b32encode(V1).decode().lower()}",
        f"magnet:?xt.1=urn:btih:{V1}&xt.2=URN:BTIH:{V1}",
        f"magnet:?dn=x&xt=urn%3Abtih%3A{V1}&xt=urn:sha1:YNCKHTQCWBTRNJIV4WNAE52SJUQCZO5C",
    ],
)
def test_a_v1_hash_is_read_in_every_spelling(link: str) -> None:
    """Hex and base32, in any case, numbered or not, said twice, escaped, beside names that are not BitTorrent's."""
    magnet = Magnet.parse(link)
    assert (magnet.v1, magnet.v2, magnet.info_hash, magnet.swarm_hashes) == (V1, None, V1, (V1,))


def test_a_v2_hash_is_a_multihash_and_known_to_peers_by_its_beginning() -> None:
    """BEP 52: 0x12 0x20, then the SHA-256."""
    magnet = Magnet.parse(f"magnet:?xt=urn:btmh:1220{str(V2).upper()}")
    assert (magnet.v1, magnet.v2, magnet.info_hash, magnet.swarm_hashes) == (None, V2, V2.truncated, (V2.truncated,))


def test_a_hybrid_has_both_hashes_and_goes_by_its_v1_hash() -> None:
    magnet = Magnet.parse(f"magnet:?xt=urn:btmh:1220{V2}&xt=urn:btih:{V1}")
    assert (magnet.v1, magnet.v2, magnet.info_hash, magnet.swarm_hashes) == (V1, V2, V1, (V1, V2.truncated))


@pytest.mark.parametrize(
    ("link", "reason"),
    [
        ("", "not a magnet link: '' where 'magnet:?' is due"),
        (str(V1), "not a magnet link"),
        (LINK.replace("?", ""), "not a magnet link"),
        (LINK.replace("?", "//?"), "not a magnet link: 'magnet://' where"),
        ("magnet:?dn=x&tr=http://a", "needs an info hash"),
        ("magnet:?xt=urn:sha1:YNCKHTQCWBTRNJIV4WNAE52SJUQCZO5C", "needs an info hash"),
        ("magnet:?xt=urn:btih:", "not 40 hex or 32 base32 digits: ''"),
        (LINK[:-1], "not 40 hex or 32 base32 digits"),
        (LINK[:-1] + "g", "not 40 hex or 32 base32 digits"),
        (LINK[:-2] + "%20 ", "not 40 hex or 32 base32 digits"),
        (f"{LINK}&xt=urn:btih:bad", "not 40 hex or 32 base32 digits: 'bad'"),
        ("magnet:?xt=urn:btih:" + "\u212a" * 32, "not 40 hex or 32 base32 digits"),
        (f"magnet:?xt=urn:btmh:1114{V1}", "not 1220 and 64 hex digits"),
        (f"magnet:?xt=urn:btmh:1220{V2}00", "not 1220 and 64 hex digits"),
        (f"{LINK}&xt=urn:btih:{'00' * 20}", "more than one torrent"),
        (f"magnet:?xt=urn:btmh:1220{V2}&xt=urn:btmh:1220{'00' * 32}", "more than one torrent"),
        (f"{LINK}&dn={'x' * 2**20}", "characters, at most 1048576 are read"),
    ],
)
def test_a_link_that_names_no_torrent_or_two_is_refused(link: str, reason: str) -> None:
    """In words; a Kelvin sign is no K."""
    with pytest.raises(MetainfoError, match=re.escape(reason)):
        Magnet.parse(link)


def test_everything_is_read_and_written(tmp_path: Path) -> None:
    """The link that is written reads the same."""
    magnet = parse(
        "dn=a+b%20c%2b&tr=http%3A%2F%2Ft%2Fann%3Fk%3D1%26l&tr.1=udp://u:80&ws=http://w/a+b&xs=http://x/t&as=http://y/t"
        "&x.pe=192.0.2.1:80&x.pe=[2001:DB8::1]:90&x.pe=peer.example:7&so=7,0-2,3"
    )
    assert magnet == Magnet(
        v1=V1,
        name="a b c+",
        trackers=("http://t/ann?k=1&l", "udp://u:80"),
        webseeds=("http://w/a b",),
        sources=("http://x/t", "http://y/t"),
        peers=(("192.0.2.1", 80), ("2001:db8::1", 90), ("peer.example", 7)),
        select=((0, 3), (7, 7)),
    )
    assert magnet.warnings == ()
    assert str(magnet) == (
        f"{LINK}&dn=a%20b%20c%2B&tr=http%3A%2F%2Ft%2Fann%3Fk%3D1%26l&tr=udp%3A%2F%2Fu%3A80&ws=http%3A%2F%2Fw%2Fa%20b"
        "&xs=http%3A%2F%2Fx%2Ft&xs=http%3A%2F%2Fy%2Ft&x.pe=192.0.2.1:80&x.pe=[2001:db8::1]:90&x.pe=peer.example:7"
        "&so=0-3,7"
    )
    assert Magnet.parse(str(magnet)) == magnet


@pytest.mark.parametrize(
    "url", ["http://t/a%2Bb%25c+d/announce", "https://t/ann?passkey=%7E%7Ea+/=", "http://t/\u00fc?k=1&l=2#3;4"]
)
def test_passkeys_in_trackers_stay_byte_for_byte(url: str) -> None:
    """Escapes of the URL's own, pluses and ampersands come through."""
    assert Magnet.parse(str(Magnet(v1=V1, trackers=(url,)))).trackers == (url,)


def test_a_plus_that_nobody_escaped_stays_one_in_a_tracker() -> None:
    """As a space it would make the URL none; elsewhere it is a space."""
    magnet = parse("tr=http://t/a+b&dn=a+b")
    assert (magnet.trackers, magnet.name) == (("http://t/a+b",), "a b")


@pytest.mark.parametrize(
    "parameters",
    [
        "tr=", "tr=foo", "tr=ftp://t", "tr=http://", "tr=http://t/%20x", "tr=http://t/%00", "tr=http://t/" + "x" * 2000,
        "ws=", "ws=foo", "ws=http://%0a", "xs=", "xs=a%20b",
        "x.pe=", "x.pe=192.0.2.1", "x.pe=192.0.2.1:0", "x.pe=192.0.2.1:70000", "x.pe=::1:80", "x.pe=[x:y]:80",
        "x.pe=1.2.3:80", "x.pe=a%20b:80", "x.pe=\u212a:80", "so=x", "so=1-", "so=-3", "so=5-3", "so=999999999",
    ],
)  # fmt: skip
def test_a_parameter_that_cannot_be_used_is_left_out_with_a_warning(parameters: str) -> None:
    magnet = parse(parameters)
    assert magnet == Magnet(v1=V1)
    assert len(magnet.warnings) == 1


def test_of_a_selection_what_can_be_read_is_used() -> None:
    """Rather one file too few than all of a large torrent."""
    magnet = parse("so=2,x,,5-3&so=9-12,10")
    assert magnet.select == ((2, 2), (9, 12))
    assert magnet.warnings == ("a selection that is no file's index or range of them is left out",)


def test_of_each_kind_fifty_are_kept_and_none_twice() -> None:
    """A link may not make us ask thousands."""
    many = "&".join(f"tr=http://t/{n}&tr=http://t/{n}&ws=http://w/{n}&xs=x{n}&x.pe=h{n}:1" for n in range(60))
    magnet = parse(many + "&so=" + ",".join(str(2 * n) for n in range(2000)))
    assert magnet.trackers == tuple(f"http://t/{n}" for n in range(50))
    assert [len(kind) for kind in (magnet.webseeds, magnet.sources, magnet.peers, magnet.select or ())] == [
        50, 50, 50, 1000,
    ]  # fmt: skip
    assert len(magnet.warnings) == 5


def test_a_torrents_link_has_its_trackers_and_web_seeds(tmp_path: Path) -> None:
    """All tiers one behind the other; the name as it would be on disk."""
    (tmp_path / "f").write_bytes(b"content")
    made = create(tmp_path / "f", trackers=["http://a/ann?k=%2B", "nonsense", "udp://b:1"], webseeds=["http://w/"])
    metainfo = Metainfo.parse(made)
    magnet = Magnet.of(metainfo)
    assert magnet == Magnet(
        v1=metainfo.info.info_hash, name="f", trackers=("http://a/ann?k=%2B", "udp://b:1"), webseeds=("http://w/",)
    )
    assert len(magnet.warnings) == 1
    assert Magnet.parse(str(magnet)) == magnet


def test_a_magnet_without_a_hash_cannot_be_made() -> None:
    with pytest.raises(MetainfoError, match="needs an info hash"):
        Magnet(name="x")


PARAMETERS = st.tuples(
    st.sampled_from(["xt", "dn", "tr", "ws", "xs", "as", "x.pe", "so", "tr.1", "DN", "kt", ""]),
    st.text(max_size=30)
    | st.text("0123456789-,.:[]%+&= ", max_size=20)
    | st.sampled_from(["urn:btmh:1220" + str(V2), "http://t/a+%2B", "host:80", "[::1]:80", "[::ffff:192.0.2.1]:1"]),
)


@given(st.lists(PARAMETERS, max_size=12))
@example([("dn", "\ud800"), ("tr", "http://\ud800"), ("so", "00-1,2")])
def test_whatever_was_read_is_written_so_that_it_reads_the_same(parameters: list[tuple[str, str]]) -> None:
    """Any parameters beside a hash are used or left out, or blamed for naming another torrent."""
    with suppress(MetainfoError):
        magnet = parse("&".join(f"{key}={value}" for key, value in parameters))
        again = Magnet.parse(str(magnet))
        assert again == magnet
        assert again.warnings == ()


@given(st.text() | st.text("magnet:?xt=urn:bih&%.0123456789abcdef", max_size=80))
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(MetainfoError):
        Magnet.parse(text)


def test_the_largest_link_that_can_be_kept_can_be_written_and_read() -> None:
    """What is kept is bounded by kind, and all of it together fits."""
    urls = tuple("http://t/" + "\U0001f600" * 497 + f"{n:02}" for n in range(50))
    magnet = Magnet(
        v1=V1,
        v2=V2,
        name="\U0001f600" * 500,
        trackers=urls,
        webseeds=urls,
        sources=urls,
        peers=tuple((f"{n:0253}x"[-253:], 65535) for n in range(50)),
        select=tuple((n, n + 1) for n in range(10_000_000, 10_003_000, 3)),
    )
    again = Magnet.parse(str(magnet))
    assert again == magnet
    assert again.warnings == ()


libtorrent = pytest.importorskip("libtorrent")
URLS = st.builds(
    "{}://host{}/{}".format,
    st.sampled_from(["http", "https", "udp", "wss"]),
    st.sampled_from(["", ":80", ".example"]),
    st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), max_size=20),
)
MAGNETS = st.builds(
    Magnet,
    v1=st.binary(min_size=20, max_size=20).filter(any).map(InfoHash),  # it takes zeros for none
    v2=st.none() | st.binary(min_size=32, max_size=32).filter(any).map(InfoHashV2),
    name=st.text(st.characters(codec="utf-8"), max_size=20),
    trackers=st.lists(URLS, max_size=3, unique=True).map(tuple),
    webseeds=st.lists(URLS.filter(lambda url: url.startswith("http")), max_size=3, unique=True).map(tuple),
    peers=st.lists(
        st.tuples(st.ip_addresses().map(str), st.integers(1, 65535)), max_size=3, unique_by=lambda peer: peer[0]
    ).map(tuple),
    select=st.none() | st.just(((0, 2), (7, 7))),
)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@given(MAGNETS)
def test_libtorrent_reads_what_we_write_and_we_what_it_writes(magnet: Magnet) -> None:
    """But for IPv4 addresses in IPv6 clothes, which it does not undress."""
    assume(not any("ffff" in host for host, _ in magnet.peers))
    theirs = libtorrent.parse_magnet_uri(str(magnet))
    assert (theirs.info_hashes.v1.to_bytes(), theirs.info_hashes.has_v2()) == (magnet.v1, magnet.v2 is not None)
    assert magnet.v2 is None or theirs.info_hashes.v2.to_bytes() == magnet.v2
    assert (theirs.name, theirs.trackers, theirs.url_seeds) == (magnet.name, [*magnet.trackers], [*magnet.webseeds])
    assert theirs.peers == [*magnet.peers]
    wanted = [index for index, priority in enumerate(theirs.file_priorities) if priority]
    assert wanted == [index for first, last in magnet.select or () for index in range(first, last + 1)]
    assert Magnet.parse(libtorrent.make_magnet_uri(theirs)) == magnet


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    "parameters",
    [
        "", "dn=a+b%20c%2b", "DN=x", "dn=a&dn=b", "dn.1=q", "dn=a%00b", "dn=a/b", "dn", "amp;dn=x",
        "tr.1=http://a&tr.0=http://b", "tr=", "tr=foo", "tr=HTTP://a", "tr=http://a/x%2by", "tr=http://a/%2520",
        "tr=http://", "tr=htt://a", "tr=ftp://a", "tr=http://a/%20b", "tr=http://a/%00", "ws=http://w/a+b",
        "ws.1=http://w", "x.pe=1.2.3.4:80&x.pe=[::1]:90&x.pe=1.2.3.4:0&x.pe=1.2.3.4:70000&x.pe=1.2.3.4",
        "so=0,2,4-6", "so=6-4", "so=", "so=x", "so=1-", "so=0&so=5", "so=1,1,2-3,3", "so=0-4,7,,9", "so=5-3,2",
        "xt=urn:sha1:abc", f"xt=urn:btmh:1220{V2}", "xt=urn:btih:bad", "xt=urn:btmh:1114", f"xt=urn:btih:{V1}",
    ],
)  # fmt: skip
def test_we_say_of_real_links_what_libtorrent_says(parameters: str) -> None:
    """Differences are on purpose: see test_where_libtorrent_thinks_otherwise."""
    try:
        theirs = libtorrent.parse_magnet_uri(f"{LINK}&{parameters}")
    except RuntimeError:
        with pytest.raises(MetainfoError):
            parse(parameters)
        return
    ours = parse(parameters)
    assert (theirs.info_hashes.v1.to_bytes(), theirs.info_hashes.has_v2()) == (ours.v1, ours.v2 is not None)
    assert (theirs.name, theirs.trackers, theirs.peers) == (ours.name, [*ours.trackers], [*ours.peers])
    assert theirs.url_seeds == [*ours.webseeds]
    wanted = [index for index, priority in enumerate(theirs.file_priorities) if priority]
    assert wanted == [index for first, last in ours.select or () for index in range(first, last + 1)]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_where_libtorrent_thinks_otherwise() -> None:
    """It takes the last of two torrents, a name up to a bare per cent sign, and stops at an empty parameter."""
    assert libtorrent.parse_magnet_uri(f"{LINK}&xt=urn:btih:{'11' * 20}").info_hashes.v1.to_bytes() == b"\x11" * 20
    assert (libtorrent.parse_magnet_uri(f"{LINK}&dn=100% x").name, parse("dn=100% x").name) == ("100", "100% x")
    assert (libtorrent.parse_magnet_uri(f"{LINK}&&dn=x").name, parse("&dn=x").name) == ("", "x")
    assert libtorrent.parse_magnet_uri(f"{LINK}&x.pe=192.0.2.1%3A80").peers == []
    assert parse("x.pe=192.0.2.1%3A80").peers == (("192.0.2.1", 80),)
    with pytest.raises(RuntimeError, match=re.escape("missing info-hash from URI")):
        libtorrent.parse_magnet_uri(LINK.replace("urn:btih", "URN:BTIH"))
