"""The short form of ``make faults``: a handful of cells, one run each, and nothing may be lost."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from trials import trial
from trials.clients import wire
from trials.cluster import CONTAINERS, Cluster
from trials.faults import FAULTS
from trials.scene import Scene
from trials.trial import Trial

MANY_TIMES_LONGER_S = 60.0
"""Wall-clock says little on a busy machine; `make faults` measures it."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    cluster = Cluster("test-faults")
    try:
        cluster.form(3)
        cluster.restore(3)
        yield cluster
    finally:
        cluster.destroy()


def run(cluster: Cluster, name: str, units: int, folder: Path) -> Trial:
    fault = FAULTS[name]
    cluster.restore(units)
    fault.prepare(cluster)
    return trial.run(
        cluster,
        fault.act,
        name=name,
        number=1,
        units_after=fault.after(units),
        folder=folder / f"{name}-{units}",
        may_lose=fault.may_lose,
        silent=fault.silent,
    )


@pytest.mark.parametrize(
    ("name", "units"),
    [
        ("switchover", 3),
        ("delete-pod", 3),
        ("kill-process", 3),
        ("kill-pod", 3),
        ("cut", 3),
        ("remove-primary", 3),
        ("all-pods", 2),
        ("kill-pod", 2),
        pytest.param("slow-load", 3, marks=pytest.mark.long),
    ],
)
def test_a_fault_loses_nothing_and_all_is_right_afterwards(
    cluster: Cluster, name: str, units: int, tmp_path: Path
):
    found = run(cluster, name, units, tmp_path)
    # What is right is said in `trial.run`: every Sentinel, one primary, no unit in error, every
    # unit active, no second primary, no read of what was never written.
    assert found.wrong == [], f"{found.line()}; its logs: {found.kept}"
    assert found.lost + found.lost_hold == (found.unreplicated if FAULTS[name].silent else 0)
    assert found.settled_s is not None
    assert found.gap_s < MANY_TIMES_LONGER_S
    assert found.reads > 0
    assert not list(tmp_path.iterdir())


@pytest.mark.long
def test_of_five_units_cut_in_two_only_one_side_goes_on(cluster: Cluster, tmp_path: Path):
    """The primary is on the smaller side, with a replica; that it has to stop is judged there."""
    found = run(cluster, "cut-pair", 5, tmp_path)
    assert found.wrong == [], f"{found.line()}; its logs: {found.kept}"
    assert found.inside_s is not None


def test_a_trial_finds_what_is_lost_and_keeps_its_logs(cluster: Cluster, tmp_path: Path):
    cluster.restore(3)

    def lose_a_write(scene: Scene) -> None:
        unit = scene.the_primary()
        password = cluster.access.redis_password
        said = cluster.model.exec(
            unit,
            "redis",
            ["sh", "-c", f"exec {wire.CLI}"],
            stdin=f"AUTH {password}\nLREM control-follow 1 7\nLREM control-hold 1 8\n",
        )
        assert said.stdout.split() == ["OK", "1", "1"]

    found = trial.run(
        cluster, lose_a_write, name="control", number=1, units_after=3, folder=tmp_path / "control"
    )
    assert (found.lost, found.lost_hold) == (1, 1)
    assert len(found.wrong) == 2
    kept = {path.name for path in Path(found.kept).iterdir()}
    assert {"follow", "hold", "reader", "debug.log", "status.json", "trial.json"} <= kept
    assert {f"redis-k8s-{n}-{name}.log" for n in range(3) for name in CONTAINERS} <= kept
    texts = "".join(path.read_text() for path in Path(found.kept).iterdir())
    assert str(cluster.access.redis_password) not in texts
