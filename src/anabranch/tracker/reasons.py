"""What trackers mean by their failure reasons: by their own words, whatever carried them.

No BEP gives these words a form. The table knows those of tracker programs (Gazelle's Ocelot, UNIT3D, NexusPHP, TBDev,
TorrentPier, XBT, opentracker, chihaya, Torrust, aquatic, and the first of all) and of sites that run them. The first
line that fits counts: "passkey not found" is about the passkey. Nothing but a failure reason is to be read this way:
a page, a URL or a text of ours may have any of these words in it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from .kinds import ErrorType

_PLACE = re.compile(r"\b\w{1,20}://\S*")  # "see https://site/login" is not about logging in
_NO_LETTER = re.compile(r"[\W_]+")
_CLIENT = r"(?:clients?|user agents?|browsers?)"
_LIST = r"(?:white|black|allow|deny|block) ?list(?:ed)?"
_TAKEN = r"(?:allowed|accepted|acceptable|approved|permitted|supported|authori[sz]ed|recogni[sz]ed|registered)"
_NOT_TAKEN = (
    r"(?:banned|blocked|disallowed|forbidden|unapproved|unsupported|unregistered|outdated|too old"
    rf"|not (?:\w+ ){{0,3}}{_TAKEN})"
)
_TORRENT = r"(?:torrents?|info ?hash(?:es)?|hash)"
_GONE = (
    r"(?:deleted|removed|trumped|nuked|rejected|pending|postponed|dead|expired|closed|disabled|inactive|unknown|banned"
    r"|not (?:be )?(?:found|registered|exists?|active|approved|known|recogni[sz]ed|available|valid)"
    r"|no longer|doesn t exist|isn t (?:registered|known))"
)
_WHO = r"(?:account|user(?: ?id)?|member|ip|ip address)"
_BARRED = (
    rf"(?:disabled|suspended|inactive|unknown|unconfirmed|parked|pending|expired|invalid|blocked|{_LIST}"
    r"|not (?:\w+ ){0,2}(?:found|exists?|enabled|active|registered|confirmed|allowed|valid|known|permitted))"
)


@dataclass(frozen=True, slots=True)
class Saying:
    """Something that trackers say.

    Args:
        means: Its category.
        remedy: What its reader can do; empty for no more than the category tells.
        pattern: What the words look like, in small letters, a space between words and nothing else.
    """

    means: ErrorType
    remedy: str
    pattern: re.Pattern[str]


def _saying(means: ErrorType, remedy: str, *looks: str) -> Saying:
    return Saying(means, remedy, re.compile(r"\b(?:" + "|".join(looks) + r")\b"))


_REGISTERED, _AUTHENTICATED = ErrorType.TORRENT_NOT_REGISTERED, ErrorType.AUTHENTICATION_FAILED

SAYINGS = (
    _saying(
        _AUTHENTICATED,
        "The tracker does not take the client that we say we are, or not in this version. Choose another identity; "
        "the tracker's site tells which clients it takes.",
        rf"{_CLIENT}\b.{{0,60}}\b(?:{_NOT_TAKEN}|{_LIST})",
        rf"(?:{_NOT_TAKEN}|{_LIST}|unknown) (?:\w+ )?{_CLIENT}",
    ),
    _saying(  # opentracker has the words of the first tracker of all: both mean a list of info hashes, not of users
        _REGISTERED,
        "",
        r"requested \w+ is not authori[sz]ed",
        rf"{_TORRENT} (?:\w+ )?(?:is |was |are )?not (?:allowed|authori[sz]ed|approved|permitted)",
        rf"{_TORRENT} (?:\w+ )?(?:is |was |are )?(?:not )?(?:\w+ ){{0,2}}{_LIST}",
        rf"(?:unapproved|disallowed|unauthori[sz]ed|banned|{_LIST}) {_TORRENT}",
        rf"{_TORRENT} (?:is|was|has been) (?:\w+ )?banned",
    ),
    _saying(
        _AUTHENTICATED,
        "The passkey in the announce URL is missing, wrong or replaced by a new one. Log in to the tracker's site, "
        "download the .torrent file once more and add that.",
        r"pass ?keys?",
        r"torrent ?pass",
        r"(?:auth|api|announce|access)(?:entication)? (?:key|token|param\w*)",
        r"pid",
        r"jwt",
        r"(?:invalid|wrong|unknown|bad|missing|expired|incorrect) (?:key|token)",
        r"(?:key|token) (?:is |was |has )?(?:invalid|wrong|unknown|bad|missing|expired|incorrect|not)",
    ),
    _saying(
        ErrorType.TRACKER_FAILURE,
        "The tracker does not take the port that we listen on. Choose another one, best between 49152 and 65535.",
        rf"port (?:\w+ )?(?:is |are )?(?:{_LIST}|blocked|invalid|not (?:allowed|permitted))",
        rf"(?:{_LIST}|blocked|invalid|illegal) port",
    ),
    _saying(
        _AUTHENTICATED,
        "The tracker knows us and does not let us in. Look at your account on its site: it may be disabled or "
        "suspended, or not be allowed to download, or not from this address.",
        r"banned",
        r"(?:not|un) ?authori[sz]ed",
        r"authenticat\w*",
        r"authori[sz]ation",
        r"(?:access|permission) (?:is |was )?denied",
        r"denied access",
        r"(?:no|not have|without|insufficient|lack) (?:\w+ )?permissions?",
        r"privileges?",
        r"forbidden",
        r"log ?in",
        rf"{_WHO} (?:\w+ ){{0,3}}{_BARRED}",
        r"(?:unregistered|unknown|invalid|disabled|inactive|no such) (?:user|account|member|ip)",
        r"you are not (?:\w+ )?(?:registered|a member|allowed)",
        r"credentials?",
        r"password",
    ),
    _saying(
        _REGISTERED,
        "",
        r"unregistered",
        r"not registered",
        r"not found",
        rf"(?:unknown|unrecogni[sz]ed|no such|nonexistent|deleted|removed) {_TORRENT}",
        rf"{_TORRENT} (?:\w+ ){{0,4}}{_GONE}",
        rf"(?:don t|doesn t|do not|does not) (?:\w+ )?(?:know|track|have|serve) (?:\w+ )?{_TORRENT}",
        r"trumped|nuked",
    ),
    _saying(
        ErrorType.TRACKER_FAILURE,
        "The tracker was asked too often. It is asked again when it allows that; asking by hand makes it longer.",
        r"rate ?limit\w*",
        r"too many (?:requests|announces)",
        r"min(?:imum)? announce",
        r"(?:too|so) (?:often|fast|quickly|soon|frequent\w*)",
        r"slow down",
        r"re ?announce later",
    ),
    _saying(
        ErrorType.TRACKER_FAILURE,
        "The tracker has rules for how much you give back, and your account does not meet them. Seed what you have; "
        "the tracker's site shows your ratio.",
        r"ratio",
    ),
    _saying(
        ErrorType.TRACKER_FAILURE,
        "The tracker allows you no more torrents or connections at once. Stop others, or see whether another client of "
        "yours, or this one at another address, has the same torrent.",
        r"slots?",
        r"limit (?:reached|exceeded|hit)",
        r"(?:connections?|peers?|torrents?|location|leech\w*) limit",
        r"too many",
        r"(?:one|1|same) (?:ip|location|client)",
        r"already (?:have|leeching|seeding|downloading)",
    ),
    _saying(
        ErrorType.TRACKER_FAILURE,
        "The tracker has a problem of its own for the moment. It is asked again by itself.",
        r"maintenance",
        r"overload\w*",
        r"busy",
        r"temporar\w*",
        r"unavailable",
        r"try again",
        r"(?:database|mysql|sql|server|internal) (?:\w+ )?(?:error|problem|failure|down|gone)",
        r"down",
    ),
)


@lru_cache(256)
def said_by(words: str) -> Saying | None:
    """Which of the SAYINGS a failure reason is, whatever its case and punctuation; None for none of them."""
    plain = _NO_LETTER.sub(" ", _PLACE.sub(" ", words)).casefold()
    return next((saying for saying in SAYINGS if saying.pattern.search(plain)), None)


def category_of_reason(words: str) -> ErrorType:
    """The category of a failure reason: torrent not registered, authentication, or tracker failure for all else."""
    saying = said_by(words)
    return ErrorType.TRACKER_FAILURE if saying is None else saying.means
