"""How HTTPS servers are verified: by the system's certificates, and by those that the user names besides."""

from __future__ import annotations

import ssl
from pathlib import Path

from anabranch.model import InputRefused


def tls_context(ca_file: str | Path | None) -> ssl.SSLContext | None:
    """What servers are verified by; None for the system's certificates alone. Reads the file.

    Raises:
        InputRefused: the file cannot be read, or has no certificates; with its name and the reason.
    """
    if ca_file is None:
        return None
    context = ssl.create_default_context()
    try:
        context.load_verify_locations(ca_file)
    except ssl.SSLError as bad:
        raise InputRefused(f"{ca_file}: no certificates in PEM") from bad
    except OSError as bad:
        raise InputRefused(f"{ca_file}: {bad.strerror or bad}") from bad
    return context
