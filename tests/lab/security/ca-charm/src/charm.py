#!/usr/bin/env python3
# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""A small authority: signs every request, and all of them anew when told to."""

from datetime import timedelta

import ops
from charmlibs.interfaces.tls_certificates import (
    Certificate,
    CertificateRequestAttributes,
    PrivateKey,
    ProviderCertificate,
    TLSCertificatesProvidesV4,
)


class SmallCa(ops.CharmBase):
    """Signs in every event in which something is to be signed."""

    _stored = ops.StoredState()

    def __init__(self, framework: ops.Framework):
        super().__init__(framework)
        self._stored.set_default(issue="")
        self._provider = TLSCertificatesProvidesV4(self, "certificates")
        for event in (
            self.on.config_changed,
            self.on.update_status,
            self.on.leader_elected,
            self.on["certificates"].relation_changed,
        ):
            framework.observe(event, self._on_event)

    def _on_event(self, _: ops.EventBase) -> None:
        self.unit.status = ops.ActiveStatus()
        if not self.unit.is_leader():
            return
        ca, key = self._authority()
        wanted = f"{self.config['authority']}/{self.config['issue']}"
        anew = wanted != self._stored.issue
        self._stored.issue = wanted
        if anew:
            requests = self._provider.get_certificate_requests()
        else:
            requests = self._provider.get_outstanding_certificate_requests()
        validity = timedelta(days=int(self.config["days"]))
        for request in requests:
            csr = request.certificate_signing_request
            certificate = csr.sign(ca, key, validity)
            self._provider.set_relation_certificate(
                ProviderCertificate(request.relation_id, certificate, csr, ca, [certificate, ca])
            )

    def _authority(self) -> tuple[Certificate, PrivateKey]:
        label = f"authority-{self.config['authority']}"
        try:
            content = self.model.get_secret(label=label).get_content()
            return Certificate(raw=content["certificate"]), PrivateKey(raw=content["key"])
        except ops.SecretNotFoundError:
            key = PrivateKey.generate()
            attributes = CertificateRequestAttributes(common_name=label, is_ca=True)
            ca = Certificate.generate_self_signed_ca(attributes, key, timedelta(days=365))
            self.app.add_secret({"certificate": str(ca), "key": str(key)}, label=label)
            return ca, key


if __name__ == "__main__":
    ops.main(SmallCa)
