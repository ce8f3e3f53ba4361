"""Certificates of our own for localhost, as a server shows them and as a client trusts them; also those with a flaw."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def contexts(
    place: Path, *, days: tuple[int, int] = (-1, 1), host: str = "localhost", vouched: bool = False
) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """What a server for a host and 127.0.0.1 speaks TLS with, and what a client has to that trusts it.

    Args:
        place: A folder.
        days: From when to when it is valid.
        host: Its name.
        vouched: An authority signed it, which the server does not show and the client trusts; else it did itself.
    """
    key, signer = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    authority = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "an authority")])
    shown = _certificate(name, key, *((authority, signer) if vouched else (name, key)), days, host)
    trusted = _certificate(authority, signer, authority, signer, (-1, 1), host) if vouched else shown
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    both = place / "localhost.pem"
    both.write_bytes(secret + shown)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(both)
    return server, ssl.create_default_context(cadata=trusted.decode())


def _certificate(
    name: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Name,
    signer: ec.EllipticCurvePrivateKey,
    days: tuple[int, int],
    host: str,
) -> bytes:
    names = x509.SubjectAlternativeName([x509.DNSName(host), x509.IPAddress(ip_address("127.0.0.1"))])
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now + timedelta(days=days[0]))
        .not_valid_after(now + timedelta(days=days[1]))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(signer, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
