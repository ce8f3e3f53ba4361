"""Every way in which a web server answers, by its name: what it does, and what may come of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from . import web_scripts as scripts
from .web_request import WebRequest, WebScript

KIB = 1024


@dataclass(frozen=True, slots=True)
class WebKind:
    """One way to answer.

    Args:
        about: What it does, for a list.
        script: How it answers a request.
        works: A client may get right bytes from it, and nothing else.
        lies: What it gives looks right and is not, so that only a hash tells.
        holds: It keeps the client waiting until that loses its patience.
    """

    about: str
    script: WebScript
    works: bool = False
    lies: bool = False
    holds: bool = False


_RIGHT = {
    "honest": WebKind("what was asked for", scripts.honest, works=True),
    "unknown-length": WebKind("a body without a length", scripts.of_unknown_length, works=True),
    "sized-parts": WebKind("transfer coding in sized parts", scripts.in_sized_parts, works=True),
    "closes-each": WebKind("a connection for each request", scripts.closing_after, works=True),
    "closes-unsaid": WebKind("closes connections that are kept", scripts.closing_unsaid, works=True),
    "http-1.0": WebKind("HTTP/1.0", scripts.of_http_1_0, works=True),
    "odd-lines": WebKind("odd case and bare line feeds", scripts.in_odd_lines, works=True),
    "all-twice": WebKind("every header twice", scripts.saying_all_twice, works=True),
    "early-words": WebKind("provisional answers first", scripts.with_early_words, works=True),
    "byte-by-byte": WebKind("a head byte by byte", scripts.byte_by_byte, works=True),
    "goes-on": WebKind("a body that never ends behind the wanted bytes", scripts.going_on_after, works=True),
    "more-behind": WebKind("a second answer that nobody asked for", scripts.with_more_behind, works=True),
    "redirects": WebKind("to another path of its own", scripts.redirected(scripts.elsewhere()), works=True),
}

_REFUSING = {
    **{
        f"status-{status}": WebKind(f"always {status}", scripts.refused(status))
        for status in (204, 400, 401, 403, 404, 410, 416, 429, 451, 500, 502, 503)
    },
    "retry-soon": WebKind("503, and to come back in a second", scripts.refused(503, "Retry-After: 1")),
    "retry-late": WebKind("503, and to come back in a day", scripts.refused(503, "Retry-After: 86400")),
    "retry-nonsense": WebKind("503, and to come back some day", scripts.refused(503, "Retry-After: -1e999")),
    "redirects-in-a-loop": WebKind("to itself", scripts.redirected("{target}")),
    "redirects-to-a-file": WebKind("to the client's own disk", scripts.redirected("file:///etc/passwd")),
    "redirects-nowhere": WebKind("to what is no URL", scripts.redirected("http://[")),
    "redirects-to-the-cloud": WebKind("to where clouds keep secrets", scripts.redirected("http://169.254.169.254/")),
}

_BROKEN = {
    "ignores-range": WebKind("all of the file, whatever range was asked for", scripts.whole),
    "wrong-range": WebKind("206 of another range, as it says", scripts.of_another_range),
    "wrong-total": WebKind("206 of a file of another length", scripts.of_another_total),
    "wrong-length": WebKind("206 of fewer bytes, as it says", scripts.of_another_length),
    "short-body": WebKind("half of the body", scripts.ending_early),
    "short-body-unsaid": WebKind("half of a body without a length", scripts.ending_early_unsaid),
    "empty-body": WebKind("a right head and no bytes", scripts.of_nothing),
    "resets-body": WebKind("half of the body, and a reset", scripts.resetting_body),
    "resets-head": WebKind("half of the head, and a reset", scripts.resetting_head),
    "hangs-up": WebKind("no answer at all", scripts.hanging_up),
    "huge-head": WebKind("a megabyte of headers", scripts.of_huge_head),
    "garbage": WebKind("random bytes", scripts.garbage),
    "two-lengths": WebKind("two lengths that differ", scripts.of_two_lengths),
    "wrong-parts": WebKind("transfer coding whose sizes are none", scripts.in_wrong_parts),
    "gzip": WebKind("gzip, which was not asked for", scripts.zipped),
    "several-ranges": WebKind("206 in the form for several ranges", scripts.in_several_ranges),
    "login-page": WebKind("somebody else's page", scripts.of_a_page),
    "endless-noise": WebKind("random bytes without end", scripts.endless_noise, lies=True),
    "flips-a-few": WebKind("one byte wrong in 256 KiB", scripts.flipping(256 * KIB), lies=True),
    "flips-many": WebKind("one byte wrong in 100", scripts.flipping(100), lies=True),
    "shifted": WebKind("all bytes one place too late", scripts.shifted, lies=True),
    "another-file": WebKind("a right head and random bytes", scripts.of_another_file, lies=True),
}

_HOLDING = {
    "silent": WebKind("never answers", scripts.silent, holds=True),
    "stalls": WebKind("half of the body, and then nothing", scripts.stalling, holds=True),
    "drips": WebKind("20 bytes a second", scripts.dripping, holds=True),
    "endless-head": WebKind("headers without end", scripts.of_endless_head, holds=True),
}

WEB_KINDS: Mapping[str, WebKind] = MappingProxyType(_RIGHT | _REFUSING | _BROKEN | _HOLDING)

WebAnswers = str | Callable[[WebRequest], str | WebScript]  # a kind's name, or who chooses one, or a script


def script_for(answers: WebAnswers, request: WebRequest) -> WebScript:
    """The script that a request is answered by.

    Raises:
        KeyError: there is no kind of that name.
    """
    chosen = answers if isinstance(answers, str) else answers(request)
    return WEB_KINDS[chosen].script if isinstance(chosen, str) else chosen
