# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Checks certificates and keys before anything is to serve them."""

from __future__ import annotations

import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

import texts
from tls.plan import digest
from tls.view import Material


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
        raise MaterialError(texts.NOT_A_KEY.format(name=key_name)) from e
    if _public(private.public_key()) != _public(chain[0].public_key()):
        raise MaterialError(texts.OTHER_KEY.format(key=key_name, certificate=cert_name))
    for name, each in [(cert_name, chain[0]), (ca_name, authorities[0])]:
        _check_time(each, name)
    if not _is_signed(chain, authorities):
        raise MaterialError(texts.NOT_SIGNED.format(certificate=cert_name, authority=ca_name))
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
        raise MaterialError(texts.NOT_A_CERTIFICATE.format(name=name)) from e


def _public(key: object) -> bytes:
    return key.public_bytes(  # type: ignore[attr-defined]
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _check_time(certificate: x509.Certificate, name: str) -> None:
    now = datetime.datetime.now(datetime.timezone.utc)
    if now > certificate.not_valid_after_utc:
        date = f"{certificate.not_valid_after_utc:%Y-%m-%d}"
        raise MaterialError(texts.HAS_EXPIRED.format(name=name, date=date))
    if now < certificate.not_valid_before_utc:
        date = f"{certificate.not_valid_before_utc:%Y-%m-%d}"
        raise MaterialError(texts.NOT_VALID_YET.format(name=name, date=date))


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
