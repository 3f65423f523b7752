# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""From the earlier revision to this one, in place."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.lab.cluster import APP, ROOT, Cluster
from trials.clients import wire

EARLIER = Path(__file__).parent / "earlier-charm"
UNITS = 3
PASSWORDS = {"redis-password": "redis", "sentinel-password": "sentinel"}
"""Where the earlier revision has them, and whose administrator's they are."""
KEYS = 1000


class Refreshed(Cluster):
    """As `Cluster`; but it was deployed with the earlier revision, and has had data since."""

    passwords: dict[str, str]

    def deploy(
        self,
        units: int,
        config: Mapping[str, Any],
        resources: Mapping[str, str],
        base: str | None = None,
    ) -> None:
        """Deploy the earlier revision, write, refresh."""
        assert not config, "the earlier revision has none of these options"
        self.model.deploy(EARLIER, app=APP, units=units, settings=self._settings)
        self.until(lambda: self.not_active(units))
        self.passwords = {name: self.bags()[APP][name] for name in PASSWORDS}
        primary = self.recorded_primary()
        text = [f"AUTH {self.passwords['redis-password']}"]
        text += [f"SET key-{number} {number}" for number in range(KEYS)]
        done = self.model.exec(
            str(primary),
            "redis",
            ["sh", "-c", f"exec {wire.CLI}"],
            stdin="\n".join([*text, "WAIT 2 20000"]) + "\n",
        )
        assert done.stdout.split()[-1] == "2", done
        self.model.refresh(APP, ROOT)
        self.until(self.not_taken_over)

    def not_taken_over(self) -> list[str]:
        """Return what of the earlier revision is still in the databag."""
        return sorted(self.bags()[APP].keys() & {*self.passwords, "enable-password"})


def test_a_refresh_keeps_data_and_passwords(tmp_path: Path):
    cluster = Refreshed("refreshed", tmp_path)
    try:
        cluster.form(UNITS)
        given = {name: cluster.password(kind) for name, kind in PASSWORDS.items()}
        assert given == cluster.passwords
        for unit in cluster.units():
            count = cluster.ask(
                unit, "redis", f"EXISTS {' '.join(f'key-{n}' for n in range(KEYS))}"
            )
            assert count == [str(KEYS)], unit
        assert not [
            value for value in cluster.passwords.values() if value in str(cluster.bags()[APP])
        ]
        cluster.settle(UNITS)
    finally:
        cluster.destroy()
