# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Fetches this unit's certificate: from the relation ``certificates``, or from the three files."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

import ops

import texts
from constants import CERTIFICATES_RELATION
from errors import SecretError
from tls.plan import digest
from tls.view import Material, TlsRecord
from values import dataclass

if TYPE_CHECKING:
    from charmlibs.interfaces.tls_certificates import TLSCertificatesRequiresV4

logger = logging.getLogger(__name__)

FILES = ("cert-file", "key-file", "ca-cert-file")
_ISSUED = ("the certificate", "the key", "the CA certificate")
_KEPT = "certificate-files"
"""Label of this unit's own secret with the last certificate of files that was usable."""
RENEW_AT = 0.8
"""The part of its life after which a certificate is renewed."""


class NoMaterialError(Exception):
    """There is no certificate to serve; the text says why, for the status."""


class WaitingForIssueError(Exception):
    """The authority has been asked and has not issued a certificate yet."""


def requirer(
    charm: ops.CharmBase, names: Iterable[str], refresh: list[ops.BoundEvent]
) -> TLSCertificatesRequiresV4:
    """Return the library's side of the relation; it asks for the certificate by itself.

    Args:
        charm: that has the relation.
        names: what the certificate is to name; the first is the unit's host.
        refresh: events after which the request is compared with what is wanted.
    """
    # Imported here: it takes as long as all the rest of a hook.
    from charmlibs.interfaces.tls_certificates import (
        CertificateRequestAttributes,
        KeyAlgorithm,
        TLSCertificatesRequiresV4,
    )

    hosts = list(names)
    attributes = CertificateRequestAttributes(
        # A common name has 64 characters at most; what counts are the other names.
        common_name=hosts[0].split(".")[0],
        sans_dns=frozenset(hosts),
        add_unique_id_to_subject_name=True,
    )
    return TLSCertificatesRequiresV4(
        charm,
        CERTIFICATES_RELATION,
        certificate_requests=[attributes],
        refresh_events=refresh,
        renewal_relative_time=RENEW_AT,
        key_algorithm=KeyAlgorithm.ECDSA,
    )


def issued(library: TLSCertificatesRequiresV4, known: TlsRecord) -> Material:
    """Return the certificate that was issued for this unit.

    Args:
        library: of the relation.
        known: what this unit has published, by which a certificate that it serves is recognised.

    Raises:
        WaitingForIssueError: there is none yet.
        NoMaterialError: it is not usable.
    """
    found, key = library.get_assigned_certificates()
    if not found or key is None:
        raise WaitingForIssueError
    chain = [str(each) for each in found[0].chain]
    cert = str(found[0].certificate)
    ca = str(found[0].ca)
    between = [each for each in chain if each.strip() not in (cert.strip(), ca.strip())]
    text = "\n".join([cert.strip(), *(each.strip() for each in between)])
    return _checked(text, str(key), ca, _ISSUED, True, known)


@dataclass(frozen=True)
class Found:
    """What a unit found when it looked for its certificate."""

    material: Material | None
    """The certificate to serve; None: there is none."""
    problem: str = ""
    """For the status: why it is none, or not that of the files. Empty: nothing is wrong, though an
    authority may not have issued it yet."""
    kept: bool = True
    """It need not be kept (``keep``): it is already, or comes from elsewhere."""


def attached(model: ops.Model, known: TlsRecord) -> Found:
    """Return the certificate of the file resources. Changes nothing.

    Files of which one is missing or not usable do not end what runs, nor do the pods that Juju
    makes anew for them: while a certificate is served, the one of before goes on.

    Args:
        model: that has the resources.
        known: as for `issued`.
    """
    try:
        found = _from_files(model, known)
    except NoMaterialError as e:
        serves_tls = known.redis is not None and known.redis.cert
        return Found(_kept(model, known) if serves_tls else None, str(e))
    served = known.redis is not None and known.redis.cert == found.name
    return Found(found, kept=served or _kept_content(model) == _content(found))


def _from_files(model: ops.Model, known: TlsRecord) -> Material:
    contents = []
    missing = []
    for name in FILES:
        try:
            text = model.resources.fetch(name).read_text()
        except (ops.ModelError, OSError, UnicodeDecodeError) as e:
            logger.debug("resource %s: %s", name, e)
            text = ""
        if not text.strip():
            missing.append(name)
        contents.append(text)
    if missing:
        raise NoMaterialError(texts.NO_FILES.format(files=", ".join(missing)))
    cert, key, ca = contents
    return _checked(cert, key, ca, FILES, False, known)


def keep(model: ops.Model, material: Material) -> None:
    """Keep a certificate of files for a pod that will find no usable ones.

    Raises:
        SecretError: Juju does not take it.
    """
    try:
        if _kept_content(model) is None:
            model.unit.add_secret(_content(material), label=_KEPT)
        else:
            model.get_secret(label=_KEPT).set_content(_content(material))
    except ops.ModelError as e:
        raise SecretError(f"the certificate of the files is not kept: {e}") from e


def _content(material: Material) -> dict[str, str]:
    return dict(zip(FILES, (material.cert, material.key, material.ca), strict=True))


def _kept_content(model: ops.Model) -> dict[str, str] | None:
    try:
        return model.get_secret(label=_KEPT).peek_content()
    except ops.SecretNotFoundError:
        return None


def _kept(model: ops.Model, known: TlsRecord) -> Material | None:
    content = _kept_content(model)
    if content is None:
        logger.info("no certificate of before")
        return None
    try:
        cert, key, ca = (content[name] for name in FILES)
        return _checked(cert, key, ca, FILES, False, known)
    except NoMaterialError as e:
        logger.info("the certificate of before is of no use: %s", e)
        return None


def _checked(
    cert: str,
    key: str,
    ca: str,
    names: tuple[str, str, str],
    names_hosts: bool,
    known: TlsRecord,
) -> Material:
    cert, key, ca = (f"{text.strip()}\n" for text in (cert, key, ca))
    name = digest(cert.strip(), key.strip())
    if ca in known.authorities and known.redis is not None and known.redis.cert == name:
        # It has been checked and is served; the check needs a library that is slow to import.
        return Material(cert, key, ca, name, known.expires, names_hosts)
    from tls import material

    try:
        return material.check(cert, key, ca, names, names_hosts)
    except material.MaterialError as e:
        raise NoMaterialError(str(e)) from e
