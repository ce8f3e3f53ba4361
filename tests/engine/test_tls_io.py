"""Whom HTTPS servers are verified by."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from anabranch.engine.tls_io import tls_context
from anabranch.model import InputRefused
from authority import make_authority


def test_certificates_of_the_user_come_beside_the_system_s(tmp_path: Path) -> None:
    """Names are verified all the same; without a file nothing is made."""
    assert tls_context(None) is None
    mine = make_authority(tmp_path, "host.example").certificate
    plain, context = ssl.create_default_context(), tls_context(mine)
    assert context is not None
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.cert_store_stats()["x509"] == plain.cert_store_stats()["x509"] + 1


def test_a_file_of_no_use_is_refused_with_its_name(tmp_path: Path) -> None:
    """And why."""
    (tmp_path / "empty.pem").write_text("")
    (tmp_path / "other.pem").write_text("something else")
    for name in ("empty.pem", "other.pem"):
        with pytest.raises(InputRefused, match=f"{name}: no certificates in PEM"):
            tls_context(tmp_path / name)
    with pytest.raises(InputRefused, match=r"gone\.pem: No such file or directory"):
        tls_context(str(tmp_path / "gone.pem"))
    with pytest.raises(InputRefused, match=tmp_path.name):
        tls_context(tmp_path)
