"""The category of each failure, and what to do about it: decided on structure, for every carrier alike."""

from __future__ import annotations

import struct
from math import inf

import pytest

from anabranch.bencode import encode
from anabranch.tracker import AnnounceRequest, ErrorType, FaultKind, TrackerFault, remedy_for
from anabranch.tracker.http import read_announce, status_fault
from anabranch.tracker.reasons import category_of_reason
from anabranch.tracker.udp import UdpTracker

REGISTERED, AUTHENTICATION, FAILURE = (
    ErrorType.TORRENT_NOT_REGISTERED,
    ErrorType.AUTHENTICATION_FAILED,
    ErrorType.TRACKER_FAILURE,
)


def refused_by_http(words: str) -> TrackerFault:
    with pytest.raises(TrackerFault) as caught:
        read_announce(encode({"failure reason": words}))
    return caught.value


def refused_by_udp(words: str) -> TrackerFault:
    tracker = UdpTracker(v6=False, draw=lambda: 7)
    tracker.announce(AnnounceRequest(bytes(20), bytes(20), port=1), "/", 0.0)
    [connect] = tracker.outgoing()
    tracker.receive(struct.pack(">I", 0) + connect[12:16] + b"CONNECTD", 0.0)
    [announce] = tracker.outgoing()
    [(_, fault)] = tracker.receive(struct.pack(">I", 3) + announce[12:16] + words.encode(), 0.0)
    assert isinstance(fault, TrackerFault)
    return fault


def status(number: int, reason: str, body: bytes = b"") -> TrackerFault:
    return status_fault(number, reason, body)


GOLDEN = [
    (status(404, "Not Found"), "tracker_not_found"),
    (status(410, "Gone"), "tracker_not_found"),
    (status(503, "Service Unavailable"), "tracker_unavailable"),
    (status(401, "Unauthorized"), "authentication_failed"),
    (status(403, "Forbidden"), "authentication_failed"),
    (status(407, "Proxy Authentication Required"), "authentication_failed"),
    (status(500, "Internal Server Error"), "tracker_http_error"),
    (status(418, "Not Found"), "tracker_http_error"),
    (refused_by_http("torrent not registered"), "torrent_not_registered"),
    (refused_by_http("passkey invalid"), "authentication_failed"),
    (refused_by_http("be quiet"), "tracker_failure"),
    (TrackerFault(FaultKind.NAME, "lookup failed"), "dns_error"),
    (TrackerFault(FaultKind.TIMEOUT, "no answer"), "timeout"),
    (TrackerFault(FaultKind.CANCELLED, "given up"), "cancelled"),
    (TrackerFault(FaultKind.CLOSED, "closed"), "client_closed"),
    (TrackerFault(FaultKind.NETWORK, "Connection refused"), "network_error"),
    (TrackerFault(FaultKind.UDP_CONNECTION, "Connection ID missmatch"), "udp_connection_error"),
    (TrackerFault(FaultKind.INTERNAL, "some other error"), "unknown_error"),
    (TrackerFault(FaultKind.TLS, "certificate has expired"), "network_error"),
    (TrackerFault(FaultKind.FORBIDDEN, "127.0.0.1 is this machine"), "network_error"),
    (TrackerFault(FaultKind.REPLY, "the reply is not bencoded"), "tracker_failure"),
    (TrackerFault(FaultKind.PAGE, "a page"), "tracker_failure"),
    (TrackerFault(FaultKind.NO_SCRAPE, "no scrape"), "tracker_failure"),
    (TrackerFault(FaultKind.UNLISTED, "not on its list"), "torrent_not_registered"),
    (TrackerFault(FaultKind.URL, "not a URL"), "tracker_not_found"),
]


@pytest.mark.parametrize(("fault", "category"), GOLDEN, ids=[str(fault) for fault, _ in GOLDEN])
def test_each_failure_has_its_category(fault: TrackerFault, category: str) -> None:
    """W35: thirteen names that programs count on; where all is well there is none of them."""
    assert fault.error_type == category


def test_every_kind_has_a_category_and_every_category_a_failure() -> None:
    """W35: nobody is left without, and none of the names is only promised."""
    assert {fault.kind for fault, _ in GOLDEN} == set(FaultKind)
    assert {category for _, category in GOLDEN} == set(ErrorType)
    assert len(ErrorType) == 13


@pytest.mark.parametrize("digits", ["404", "503", "401 Unauthorized", "403 Forbidden", "Not Found", "passkey"])
def test_what_a_page_says_does_not_change_its_status(digits: str) -> None:
    """W35: bodies of a status 500 with other numbers in them were taken for those statuses."""
    for body in (digits.encode(), f"<html><title>{digits}</title>".encode(), encode({"message": digits})):
        fault = status(500, "Internal Server Error", body)
        assert (fault.kind, fault.error_type) == (FaultKind.STATUS, ErrorType.TRACKER_HTTP_ERROR)
    assert status(500, digits).error_type is ErrorType.TRACKER_HTTP_ERROR


@pytest.mark.parametrize(
    ("number", "words", "category"),
    [
        (404, "unregistered torrent", "torrent_not_registered"),
        (503, "Passkey not found", "authentication_failed"),
        (403, "go away", "authentication_failed"),
        (503, "go away", "tracker_unavailable"),
        (404, "", "tracker_not_found"),
        (500, "go away", "tracker_http_error"),
        (200, "go away", "tracker_failure"),
    ],
)
def test_a_reason_that_comes_with_a_status_counts_where_it_says_enough(number: int, words: str, category: str) -> None:
    """Else the status says more."""
    fault = status(number, "Whatever", encode({"failure reason": words}))
    assert (fault.kind, fault.error_type) == (FaultKind.REFUSED, category)


@pytest.mark.parametrize(
    "refused", [refused_by_http, refused_by_udp, lambda words: TrackerFault(FaultKind.REFUSED, words)]
)
@pytest.mark.parametrize(
    ("words", "category"),
    [
        ("Unregistered torrent", REGISTERED),
        ("Passkey not found", AUTHENTICATION),
        ("torrent not registered", REGISTERED),
        ("BANNED", AUTHENTICATION),
        ("slots full", FAILURE),
        ("404", FAILURE),
    ],
)
def test_a_reason_means_the_same_whoever_carried_it(refused: object, words: str, category: ErrorType) -> None:
    """W35: "Unregistered" with a capital letter, a passkey that is "not found", and all of UDP were misread."""
    assert callable(refused)
    fault = refused(words)
    assert (fault.reason, fault.error_type) == (words, category)


SAYINGS = {
    REGISTERED: """
        Unregistered torrent
        Unregistered torrent: Trumped
        unregistered info_hash
        Torrent not registered with this tracker
        Torrent not registered, see https://site.example/login.php
        torrent NOT\u00a0 REGISTERED
        not-registered
        InfoHash not found.
        The torrent was not found
        Unknown info_hash
        Torrent has been deleted.
        Torrent is still pending moderation.
        Torrent does not exist
        Torrent doesn't exist
        torrent disabled
        This torrent is banned
        Torrent is not authorized for use on this tracker
        Requested download is not authorized for use with this tracker.
        Info hash not allowed
        info_hash is not in the whitelist
        The torrent: 0123abcd, is not whitelisted, src/core/announce.rs
        unapproved torrent
        disallowed info_hash
        """,
    AUTHENTICATION: """
        Passkey not found
        Invalid passkey! Re-download the .torrent from https://site.example
        Please LOG IN and RE-DOWNLOAD this torrent (passkey not found)
        unregistered torrent pass
        unrecognized host/PassKey
        Invalid PID (private announce)
        Missing authentication param for private tracker
        Announce key expired
        invalid key
        Your client is not on the whitelist
        Your client is not allowed
        Banned Client, look at the site for acceptable clients
        client uTorrent/3.5.5 is not on the whitelist
        Your BitTorrent client is too old
        Only whitelisted clients allowed
        unapproved client
        Torrent client banned
        Unknown client
        Account disabled
        Your account has been banned
        User not found
        You are not registered
        Your IP address is not registered
        IP not allowed
        access denied, leeching forbidden
        Permission denied
        Your downloading privileges have been disabled! (Read the rules)
        You are not authorized to download this torrent
        Unauthorised
        Authentication failure
        """,
    FAILURE: """
        be quiet
        slots full
        Rate limit exceeded
        Sorry, minimum announce interval is 30
        Your ratio is too low
        Connection limit exceeded! You may only leech from one location at a time.
        Port 6881 is blacklisted.
        Tracker down for maintenance
        Database error
        Your client forgot to send your torrent's info_hash. Please upgrade your client.
        Invalid info_hash
        missing info_hash parameter
        Malformed announce
        download failed
        refused without a reason
        """,
}


@pytest.mark.parametrize(
    ("words", "category"),
    [(words.strip(), category) for category, lines in SAYINGS.items() for words in lines.strip().splitlines()],
)
def test_what_trackers_say_is_understood(words: str, category: ErrorType) -> None:
    """Tracker programs and sites say it so, in any case. A list of torrents is registration, one of clients is not."""
    assert category_of_reason(words) is category
    assert category_of_reason(words.upper()) is category
    assert category_of_reason(f"  {words}!! ") is category


def test_our_own_words_are_never_taken_for_the_trackers() -> None:
    """W35: a host's name, a page or a text of ours may have any word in it."""
    text = "http://passkey.not-found.example: be quiet"
    assert TrackerFault(FaultKind.REFUSED, text, reason="be quiet").error_type is FAILURE
    assert TrackerFault(FaultKind.REFUSED, "refused without a reason: passkey", reason="").error_type is FAILURE
    for kind in (FaultKind.REPLY, FaultKind.NETWORK, FaultKind.TIMEOUT):
        fault = TrackerFault(kind, "passkey banned")
        assert (fault.reason, fault.error_type in (AUTHENTICATION, REGISTERED)) == ("", False)
    assert status(500, "Oops", encode({"failure reason": ""})).reason == ""


def test_every_category_has_a_remedy_in_words() -> None:
    """Sentences for people, each for itself."""
    remedies = [remedy_for(category) for category in ErrorType]
    assert len(set(remedies)) == len(ErrorType)
    assert all(remedy.endswith(".") and remedy[0].isupper() and 20 < len(remedy) < 250 for remedy in remedies)


@pytest.mark.parametrize(
    ("fault", "word"),
    [
        (TrackerFault(FaultKind.PAGE, ""), "browser"),
        (TrackerFault(FaultKind.TLS, ""), "certificate"),
        (TrackerFault(FaultKind.FORBIDDEN, ""), "trust this tracker"),
        (TrackerFault(FaultKind.URL, ""), "correct it"),
        (TrackerFault(FaultKind.NO_SCRAPE, ""), "announcing to it works"),
        (TrackerFault(FaultKind.STATUS, "", status=429), "too often"),
        (TrackerFault(FaultKind.STATUS, "", status=407), "proxy"),
        (TrackerFault(FaultKind.STATUS, "", status=404), "new address"),
        (TrackerFault(FaultKind.REFUSED, "Your client is banned"), "identity"),
        (TrackerFault(FaultKind.REFUSED, "invalid passkey"), "download the .torrent file once more"),
        (TrackerFault(FaultKind.REFUSED, "account disabled"), "account"),
        (TrackerFault(FaultKind.REFUSED, "unregistered torrent"), "may have been deleted"),
        (TrackerFault(FaultKind.REFUSED, "ratio too low"), "ratio"),
        (TrackerFault(FaultKind.REFUSED, "announcing too often"), "too often"),
        (TrackerFault(FaultKind.REFUSED, "slots full"), "at once"),
        (TrackerFault(FaultKind.REFUSED, "port 6881 is blacklisted"), "port"),
        (TrackerFault(FaultKind.REFUSED, "database error"), "problem of its own"),
        (TrackerFault(FaultKind.REFUSED, "hm"), "what it says tells what to do"),
        (TrackerFault(FaultKind.REFUSED, "hm", status=429), "too often"),
    ],
    ids=str,
)
def test_what_is_known_in_more_detail_has_a_better_remedy(fault: TrackerFault, word: str) -> None:
    """A client that is not taken is no matter of the passkey."""
    assert word in fault.remedy


def test_a_server_may_say_when_to_come_again() -> None:
    """RFC 9110, 10.2.3, in seconds; BEP 31 comes first. A date, or nonsense, says nothing."""
    told = {"120": 120.0, " 7 ": 7.0, "": None, "-1": None, "Fri, 31 Dec": None, "99999999": None, "²": None}
    assert {text: status_fault(503, "", b"", text).retry_in for text in told} == told
    refusal = encode({"failure reason": "no", "retry in": "never"})
    assert status_fault(503, "", refusal, "120").retry_in == inf
    assert status_fault(503, "", encode({"failure reason": "no"}), "120").retry_in == 120.0
