# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""From the charm of today to this one, in place."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.lab.cluster import APP, ROOT, Cluster
from trials.clients import wire

TODAYS = Path(__file__).parent / "todays-charm"
UNITS = 3
PASSWORDS = {"redis-password": "redis", "sentinel-password": "sentinel"}
"""Where the charm of today has them, and whose administrator's they are."""
KEYS = 1000


class Refreshed(Cluster):
    """As `Cluster`; but it was deployed with the charm of today, and has had data since."""

    passwords: dict[str, str]

    def deploy(
        self,
        units: int,
        config: Mapping[str, Any],
        resources: Mapping[str, str],
        base: str | None = None,
    ) -> None:
        """Deploy the charm of today, write, refresh."""
        assert not config, "the charm of today has none of these options"
        self.model.deploy(TODAYS, app=APP, units=units, settings=self._settings)
        # It may wait for update-status, see its README.
        self.until(lambda: self.not_active(units), tick=True)
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

    def errors(self) -> list[str]:
        """Leave out what that charm itself calls an error in its log, such as a silent Sentinel.

        Of a hook that fails Juju has a line of its own.
        """
        return [line for line in super().errors() if ".juju-log " not in line]

    def not_taken_over(self) -> list[str]:
        """Return what of the charm of today is still in the databag."""
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
