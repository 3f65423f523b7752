# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Checks certificates and keys before anything is to serve them."""

from __future__ import annotations

import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from tls import digest
from world import Material


class MaterialError(Exception):
    """A certificate, a key or an authority cannot be used; the text says which and why."""


def check(
    cert: str, key: str, ca: str, names: tuple[str, str, str], names_hosts: bool
) -> Material:
    """Return what the texts make, when they fit each other.

    Args:
        cert: certificate of the server, with its chain, in PEM format.
        key: its private key.
        ca: certificate of the authority.
        names: what the operator calls the three.
        names_hosts: the certificate was issued for this unit.

    Raises:
        MaterialError: one is malformed, not valid today, or does not belong to the others.
    """
    cert_name, key_name, ca_name = names
    chain = _certificates(cert, cert_name)
    authorities = _certificates(ca, ca_name)
    try:
        private = serialization.load_pem_private_key(key.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as e:
        raise MaterialError(f"{key_name} is no private key in PEM format without password") from e
    if _public(private.public_key()) != _public(chain[0].public_key()):
        raise MaterialError(f"{key_name} does not belong to {cert_name}")
    for name, each in [(cert_name, chain[0]), (ca_name, authorities[0])]:
        _check_time(each, name)
    if not _is_signed(chain, authorities):
        raise MaterialError(f"{cert_name} is not signed by {ca_name}")
    return Material(
        cert=cert.strip() + "\n",
        key=key.strip() + "\n",
        ca=ca.strip() + "\n",
        name=digest(cert.strip(), key.strip()),
        expires=chain[0].not_valid_after_utc.timestamp(),
        names_hosts=names_hosts,
    )


def _certificates(text: str, name: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(text.encode())
    except ValueError as e:
        raise MaterialError(f"{name} is no certificate in PEM format") from e


def _public(key: object) -> bytes:
    return key.public_bytes(  # type: ignore[attr-defined]
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _check_time(certificate: x509.Certificate, name: str) -> None:
    now = datetime.datetime.now(datetime.timezone.utc)
    if now > certificate.not_valid_after_utc:
        raise MaterialError(f"{name} has expired on {certificate.not_valid_after_utc:%Y-%m-%d}")
    if now < certificate.not_valid_before_utc:
        raise MaterialError(f"{name} is valid from {certificate.not_valid_before_utc:%Y-%m-%d}")


def _is_signed(chain: list[x509.Certificate], authorities: list[x509.Certificate]) -> bool:
    """Whether a path leads from the first certificate to an authority."""
    current = chain[0]
    candidates = [*chain[1:], *authorities]
    for _ in range(len(candidates)):
        signer = next((each for each in candidates if _signed_by(current, each)), None)
        if signer is None:
            return False
        if signer in authorities:
            return True
        candidates.remove(signer)
        current = signer
    return False


def _signed_by(certificate: x509.Certificate, signer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(signer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True
