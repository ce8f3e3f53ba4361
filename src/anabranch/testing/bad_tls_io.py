"""TLS with one flaw: certificates made anew, an authority that signed them, and a script that speaks it.

The handshake is the script's own, not asyncio's: that hangs up on a failure before the alert has left.
"""

from __future__ import annotations

import ssl
import warnings
from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from .scene import Hear, Pause
from .tracker_talk import FOREVER, Line, LineScript, LineStep

FLAWS = ("honest", "self-signed", "unknown", "expired", "not-yet", "wrong-name", "old", "odd-cipher", "wants-ours")
_DAY = timedelta(days=1)
_OLDEST = "ALL:@SECLEVEL=0"  # what OpenSSL has to be told before it speaks TLS 1.0


class Certificates:
    """An authority, and servers' contexts for one IP address.

    Args:
        place: A folder for the files that OpenSSL wants.
        host: Whom the certificates are for.

    Attributes:
        authority: The file that clients are to trust.
    """

    def __init__(self, place: Path, host: str) -> None:
        self._place = place
        self._host = host
        self._signer = _Signer("An authority for tests")
        self._stranger = _Signer("An authority that nobody knows")
        self.authority = place / "authority.pem"
        self.authority.write_bytes(self._signer.certificate.public_bytes(serialization.Encoding.PEM))

    def server(self, flaw: str) -> ssl.SSLContext:
        """What a server speaks TLS with that has one of FLAWS."""
        now = datetime.now(UTC)
        begins, ends = {"expired": (-30, -1), "not-yet": (1, 30)}.get(flaw, (-1, 30))
        key = ec.generate_private_key(ec.SECP256R1())
        host = "192.0.2.99" if flaw == "wrong-name" else self._host
        signer = {"unknown": self._stranger, "self-signed": _Signer(host, key)}.get(flaw, self._signer)
        leaf = signer.sign(host, key, now + begins * _DAY, now + ends * _DAY)
        chain = self._place / f"{flaw}.pem"
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        chain.write_bytes(leaf.public_bytes(serialization.Encoding.PEM) + private)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain)
        if flaw == "old":
            context.set_ciphers(_OLDEST)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # that it is, is the point
                context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1
        elif flaw == "odd-cipher":
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            context.set_ciphers("ECDHE-ECDSA-CAMELLIA128-SHA256:@SECLEVEL=0")
        elif flaw == "wants-ours":
            context.load_verify_locations(self.authority)
            context.verify_mode = ssl.CERT_REQUIRED
        return context


def behind_tls(context: ssl.SSLContext, reply: bytes) -> LineScript:
    """Who speaks TLS with that context, and answers every request behind it with *reply*."""

    def script(line: Line) -> Generator[LineStep, None, None]:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        secure = context.wrap_bio(incoming, outgoing, server_side=True)
        heard = bytearray()
        while True:
            incoming.write(bytes(line.heard))
            line.heard.clear()
            try:
                secure.do_handshake()
                heard += secure.read(64 * 1024)
                while (end := heard.find(b"\r\n\r\n")) >= 0:
                    del heard[: end + 4]
                    secure.write(reply)
            except ssl.SSLWantReadError:
                yield outgoing.read()
                yield Hear(FOREVER)
            except ssl.SSLError:
                yield outgoing.read()  # an alert
                yield Pause(0.1)  # what comes meanwhile is read: with it unread, the end would be a reset
                return
            else:
                yield outgoing.read()

    return script


class _Signer:
    """Who signs, and its own certificate."""

    def __init__(self, name: str, key: ec.EllipticCurvePrivateKey | None = None) -> None:
        self._key = key if key is not None else ec.generate_private_key(ec.SECP256R1())
        self._name = _named(name)
        now = datetime.now(UTC)
        usage = x509.KeyUsage(
            digital_signature=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=True,
            crl_sign=True,
            encipher_only=False,
            decipher_only=False,
        )
        self.certificate = (
            x509.CertificateBuilder(self._name, self._name, self._key.public_key(), 1, now - 60 * _DAY, now + 60 * _DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)  # OpenSSL's strict mode asks for these
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )

    def sign(self, host: str, key: ec.EllipticCurvePrivateKey, begins: datetime, ends: datetime) -> x509.Certificate:
        """A server's certificate."""
        alternative = x509.SubjectAlternativeName([x509.IPAddress(ip_address(host))])
        signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        return (
            x509.CertificateBuilder(self._name, _named(host), key.public_key(), 2, begins, ends)
            .add_extension(alternative, critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(signer, critical=False)
            .sign(self._key, hashes.SHA256())
        )


def _named(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
