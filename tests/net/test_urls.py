"""URLs taken apart, and told without their secrets."""

from __future__ import annotations

import socket
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anabranch.model import Address, InputRefused
from anabranch.net import Url, Use, parse_url, why_not_asked, without_secrets
from anabranch.net.urls import address_in, is_forbidden, is_public, redirected

HTTP = ("http", "https")


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://a.example/x?y", Url("http", "a.example", 80, "/x?y")),
        ("  HTTPS://A.example:8443/\n", Url("https", "a.example", 8443, "/")),
        ("http://a.example", Url("http", "a.example", 80, "/")),
        ("http://a.example?x=1", Url("http", "a.example", 80, "/?x=1")),
        ("http://a.example:/x#part", Url("http", "a.example", 80, "/x")),
        ("http://192.0.2.1:81/", Url("http", "192.0.2.1", 81, "/")),
        ("http://[2001:DB8::1]:81/", Url("http", "2001:db8::1", 81, "/")),
        ("http://user:p%40ss@a.example/", Url("http", "a.example", 80, "/", "user:p@ss")),
        ("http://bücher.example/", Url("http", "xn--bcher-kva.example", 80, "/")),
    ],
)
def test_a_url_is_taken_apart(text: str, url: Url) -> None:
    """RFC 3986, as it is found in torrents."""
    assert parse_url(text, HTTP) == url


@pytest.mark.parametrize("target", ["/announce?passkey=%aa%2F~%20a&x=%7e", "//a/../b/./c;d=e", "/%zz?", "/a+b?c+d"])
def test_path_and_query_keep_every_byte(target: str) -> None:
    """Trackers compare passkeys byte by byte."""
    assert parse_url(f"http://a.example{target}", HTTP).target == target


def test_what_cannot_stand_in_a_request_is_escaped() -> None:
    """A space or a letter of another script would break it."""
    assert parse_url("http://a.example/ü b", HTTP).target == "/%C3%BC%20b"
    assert parse_url("http://a.example/a\r\nb", HTTP).target == "/a%0D%0Ab"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a.example/x",
        "/x",
        "ftp://a.example/",
        "http:///x",
        "http://:80/",
        "http://a.example:0/",
        "http://a.example:65536/",
        "http://a.example:x/",
        "http://[::1",
        "http://[1.2.3.4]/",
        "http://a b/",
        "http://a%41/",
        "http://" + "a" * 70 + ".example/",
        "http://a.example/" + "x" * 9000,
    ],
)
def test_what_is_no_such_url_is_refused(text: str) -> None:
    """In words, on one line."""
    with pytest.raises(InputRefused) as caught:
        parse_url(text, HTTP)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


def test_a_scheme_without_a_port_of_its_own_needs_one() -> None:
    """There is no usual port for UDP trackers."""
    assert parse_url("udp://a.example:80/x", ("udp",)).authority == "a.example:80"
    with pytest.raises(InputRefused, match=r"udp://a\.example has no port"):
        parse_url("udp://a.example/secret", ("udp",))


def test_a_url_is_told_without_its_secrets() -> None:
    """Logs and errors have the host, and nothing that could be a passkey."""
    url = parse_url("https://user:word@[::1]:8443/0123456789abcdef/announce?passkey=x", HTTP)
    assert str(url) == f"{url}" == "https://[::1]:8443"
    assert "0123" not in repr(url)
    assert "word" not in repr(url)
    assert url.whole == "https://[::1]:8443/0123456789abcdef/announce?passkey=x"
    assert url.at(Address("192.0.2.1", 8443)) == "https://192.0.2.1:8443/0123456789abcdef/announce?passkey=x"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("unknown passkey 0123456789abcdef", "unknown passkey ***"),
        ("no torrent at /0123456789abcdef/announce?uid=k3yk3yk3y&x=1", "no torrent at ***"),
        ("k3yk3yk3y is banned, announce less", "*** is banned, announce less"),
        ("K3YK3YK3Y or 0123456789ABCDEF", "*** or ***"),
        ("wrong parameters: uid=k3yk3yk3y&x=1", "wrong parameters: ***"),
        ("", ""),
    ],
)
def test_secrets_are_taken_out_of_what_servers_say(text: str, told: str) -> None:
    """They repeat what they were asked; ordinary words stay."""
    url = parse_url("https://a.example/0123456789abcdef/announce?uid=k3yk3yk3y&x=1", HTTP)
    assert without_secrets(text, url) == told


def test_a_login_is_taken_out_whole_and_its_password_alone() -> None:
    """A server says who may not come in, or by what; a password of three letters would be in any word."""
    url = parse_url("https://me:Open%20Sesame@a.example/announce", HTTP)
    assert without_secrets("me:Open Sesame, or open sesame?", url) == "***, or ***?"
    assert without_secrets("unknown", parse_url("https://me:now@a.example/announce", HTTP)) == "unknown"


def test_a_secret_is_taken_out_decoded_too() -> None:
    """Its signs are escaped in a URL; who repeats it may have read them."""
    url = parse_url("https://a.example/announce?key=ab%2Bcd%2F0123456789", HTTP)
    assert without_secrets("no ab+cd/0123456789, nor ab%2bcd%2f0123456789", url) == "no ***, nor ***"


@pytest.mark.parametrize(
    ("start", "location", "end"),
    [
        ("http://a.example/x/y?z", "/w", "http://a.example/w"),
        ("http://a.example/x/y?z", "w?v", "http://a.example/x/w?v"),
        ("http://a.example/x", "https://b.example/", "https://b.example/"),
        ("https://a.example/x", "//b.example/y", "https://b.example/y"),
    ],
)
def test_a_redirect_leads_on(start: str, location: str, end: str) -> None:
    """Relative to where it came from."""
    assert redirected(parse_url(start, HTTP), location).whole == end


@pytest.mark.parametrize("location", ["http://a.example/x", "ftp://a.example/", "file:///etc/passwd", "http://[", ""])
def test_a_redirect_that_leads_astray_is_refused(location: str) -> None:
    """A passkey sent over TLS is not sent again in the open; and there is more than HTTP in the world."""
    if not location:
        assert redirected(parse_url("https://a.example/x", HTTP), location).target == "/x"
        return
    with pytest.raises(InputRefused):
        redirected(parse_url("https://a.example/x", HTTP), location)


FORBIDDEN = [
    *("169.254.169.254", "fe80::1", "224.0.0.1", "ff02::1", "0.0.0.0", "0.1.2.3", "::", "255.255.255.255"),
    *("fd00:ec2::254", "100.100.100.200", "168.63.129.16", "192.0.0.192"),
    *("::ffff:169.254.169.254", "64:ff9b::169.254.169.254", "2002:a9fe:a9fe::1", "::169.254.169.254"),
]
NEAR = [
    *("127.0.0.1", "127.255.0.1", "::1", "10.0.0.1", "192.168.1.1", "172.31.0.1", "100.64.0.1", "fd00::1"),
    *("::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "::127.0.0.1"),
    *("fec0::1", "64:ff9b:1::7f00:1", "::ffff:0:127.0.0.1", "5f00::1"),
]
FAR = ["1.1.1.1", "2606:4700::1", "64:ff9b::101:101", "::ffff:1.1.1.1"]


def test_some_addresses_are_for_nobody_and_some_for_the_neighbourhood() -> None:
    """169.254.169.254 gives a cloud's keys away to whoever asks from inside. In IPv6 clothes too."""
    assert [host for host in FORBIDDEN + NEAR + FAR if is_forbidden(Address(host, 80))] == FORBIDDEN
    assert [host for host in NEAR + FAR if is_public(Address(host, 80))] == FAR


def refused(url: str, host: str, use: Use, **given: bool) -> bool:
    return bool(why_not_asked(parse_url(url, HTTP), Address(host, 80), use, **given))


@pytest.mark.parametrize("use", Use)
@pytest.mark.parametrize("host", FORBIDDEN)
def test_what_is_for_nobody_is_not_asked_by_whomever_it_was_named(host: str, use: Use) -> None:
    """A user who types such a URL has been told to."""
    assert refused("http://a.example/announce", host, use, trusted=True)


@pytest.mark.parametrize("host", NEAR)
def test_inside_a_tracker_is_asked_for_announces_alone(host: str) -> None:
    """libtorrent 2.1: a .torrent must not make us press buttons on the router's pages."""
    for path in ("/announce", "/announce.php?passkey=x", "/scrape?x", "/announce/0123456789abcdef"):
        assert not refused(f"http://a.example{path}", host, Use.TRACKER)
    for path in ("", "/", "/reboot", "/x/announce", "/announce/../reboot", "/announce/%2e%2e/x", "/announce/..%5Cx"):
        assert refused(f"http://a.example{path}", host, Use.TRACKER), path
        assert not refused(f"http://a.example{path}", host, Use.TRACKER, trusted=True)


@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_inside_a_websocket_tracker_may_also_be_the_front_page(scheme: str) -> None:
    """That is where they mostly are; opening it does nothing to anybody. libtorrent 2.1.1 asks them anything."""
    for path, barred in (("", False), ("/", False), ("/announce", False), ("/?reboot", True), ("/reboot", True)):
        place = parse_url(f"{scheme}://a.example{path}", ("ws", "wss"))
        assert bool(why_not_asked(place, Address("127.0.0.1", 80), Use.TRACKER)) is barred, path


@pytest.mark.parametrize("host", NEAR)
@pytest.mark.parametrize("use", [Use.WEB_SEED, Use.METADATA])
def test_inside_a_file_is_asked_for_by_a_url_without_a_query(host: str, use: Use) -> None:
    """libtorrent 2.1: files have none, and what acts on a request mostly has one."""
    assert not refused("http://a.example/files/", host, use)
    for query in ("?", "?x=y"):
        assert refused(f"http://a.example/files/{query}", host, use)
        assert not refused(f"http://a.example/files/{query}", host, use, trusted=True)


@pytest.mark.parametrize("use", Use)
def test_nobody_outside_sends_us_inside(use: Use) -> None:
    """Also not where the user trusts him: what the user typed is another URL."""
    for host in NEAR:
        assert refused("http://a.example/announce", host, use, from_outside=True, trusted=True)
    for host in FAR:
        assert not refused("http://a.example/x?y", host, use, from_outside=True)


@given(st.text() | st.text("htp:/@[]?#%.a1 ").map("http://".__add__), st.text())
def test_any_text_is_a_url_or_refused(text: str, location: str) -> None:
    """And a URL has what a request line can hold."""
    with suppress(InputRefused):
        url = parse_url(text, HTTP)
        assert url.target.startswith("/")
        assert (url.target + url.authority).isascii()
        assert not set(url.target + url.authority) & set(" \r\n\0")
        without_secrets(location, url)
        redirected(url, location)


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[::ffff:127.0.0.1]", "127.0.0.1"),
        ("localhost", "127.0.0.1"),
        ("a.localhost.", "127.0.0.1"),
        ("127.0.0.1.", "127.0.0.1"),
        ("2130706433", "127.0.0.1"),
        ("0x7f.1", "127.0.0.1"),
        ("0177.0.0.01", "127.0.0.1"),
        ("127.1", "127.0.0.1"),
        ("a.example", None),
        ("1.2.3.4.example", None),
        ("localhost.example", None),
    ],
)
def test_a_host_that_is_an_address_is_known_however_it_is_spelt(host: str, address: str | None) -> None:
    """A proxy would look it up as systems do: in parts of any base."""
    found = address_in(parse_url(f"http://public.example@{host}:81/", HTTP))
    assert found == (address and Address(address, 81))


@given(
    st.text("0127x.f8", min_size=1, max_size=11)
    | st.lists(st.integers(0, 300), max_size=5).map(lambda parts: ".".join(map(str, parts)))
)
def test_numbers_are_the_addresses_that_the_system_takes_them_for(host: str) -> None:
    """The C library's own rule, as an oracle."""
    try:
        theirs = socket.inet_ntoa(socket.inet_aton(host))
    except OSError:
        theirs = None
    ours = address_in(Url("http", host, 80, "/"))
    if not host.endswith("."):
        assert (ours and ours.host) == theirs
