# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""An authority of the lab's own, and the certificates that it signs."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from lab import Model

FILES = {"cert-file": "redis.crt", "key-file": "redis.key", "ca-cert-file": "ca.crt"}


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


@dataclass(frozen=True)
class Issued:
    """Three texts in PEM format."""

    cert: str
    key: str
    ca: str

    def attach(self, model: Model, app: str, folder: Path) -> None:
        """Give them to an application as its file resources, which rolls its pods."""
        for resource, path in self.write(folder).items():
            model.attach_resource(app, resource, path)

    def write(self, folder: Path) -> dict[str, str]:
        """Write them and return the paths by resource."""
        folder.mkdir(parents=True, exist_ok=True)
        texts = {"cert-file": self.cert, "key-file": self.key, "ca-cert-file": self.ca}
        for resource, text in texts.items():
            (folder / FILES[resource]).write_text(text)
        return {resource: str(folder / FILES[resource]) for resource in texts}


class Authority:
    """Signs certificates."""

    def __init__(self, name: str):
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        self._certificate = self._sign(self._name, self._key.public_key(), 365, [], True)
        self.pem = self._certificate.public_bytes(serialization.Encoding.PEM).decode()

    def issue(self, *names: str, days: float = 90, starts: float = -1) -> Issued:
        """Return a new key and its certificate.

        Args:
            names: the hosts in it.
            days: until when it is valid, from now.
            starts: from when, likewise.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._sign(
            _name("redis"), key.public_key(), days, list(names), False, starts
        )
        return Issued(
            certificate.public_bytes(serialization.Encoding.PEM).decode(),
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ).decode(),
            self.pem,
        )

    def _sign(
        self,
        subject: x509.Name,
        public: ec.EllipticCurvePublicKey,
        days: float,
        names: list[str],
        is_authority: bool,
        starts: float = -1,
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.timezone.utc)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + datetime.timedelta(days=starts))
            .not_valid_after(now + datetime.timedelta(days=days))
            .add_extension(x509.BasicConstraints(is_authority, None), critical=True)
        )
        if names:
            alternatives = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
            builder = builder.add_extension(alternatives, critical=False)
        return builder.sign(self._key, hashes.SHA256())
