"""The order of events, on the model alone: no process, a clock of our own."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from lab import resolver
from lab.model import Hook, Model, ModelError, Secret, Settings, Unit
from lab.packing import read_meta

META = read_meta(Path(__file__).parent / "probe-charm")
FIRST_START = [
    "install",
    "peers-relation-created",
    "data-storage-attached",
    "config-changed",
    "start",
]


@dataclass
class World:
    """A model whose units run their hooks as soon as they are due, one after the other."""

    settings: Settings = field(default_factory=Settings)
    now: float = 1000.0
    ran: list[tuple[str, str]] = field(default_factory=list)
    details: list[Hook] = field(default_factory=list)
    on_hook: Callable[[Unit, Hook], None] = lambda unit, hook: None

    def __post_init__(self) -> None:
        self.model = Model("m", self.settings, lambda: self.now)

    def deploy(self, units: int, app: str = "probe") -> None:
        self.model.add_app(app, "/charm", META, {}, {})
        self.add(units, app)

    def add(self, units: int, app: str = "probe") -> None:
        for unit in self.model.add_units(app, units):
            self.start_pod(unit)
        self.settle()

    def start_pod(self, unit: Unit, interrupted: Hook | None = None) -> None:
        for storage in self.model.storages.values():
            storage.mounted = storage.mounted or storage.unit == unit.name
        resolver.pod_started(self.model, unit, interrupted)
        self.model.leases.set_present(unit, True)

    def unit(self, number: int, app: str = "probe") -> Unit:
        return self.model.unit(f"{app}/{number}")

    def step(self, unit: Unit) -> bool:
        hook = resolver.next_hook(self.model, unit, (), self.now)
        if hook is None:
            if resolver.is_finished(unit) and unit.life == "dying":
                unit.life = "dead"
            return False
        self.ran.append((unit.name, hook.name))
        self.details.append(hook)
        self.on_hook(unit, hook)
        resolver.committed(self.model, unit, hook)
        return True

    def settle(self) -> None:
        for _ in range(1000):
            if not any([self.step(unit) for unit in list(self.model.units())]):
                return
        raise AssertionError(f"hooks without end: {self.ran[-10:]}")

    def since(self, unit: str = "") -> list[str]:
        """Return what ran since the last call, of one unit or of all."""
        names = [name for who, name in self.ran if unit in ("", who)]
        self.ran.clear()
        return names


def test_the_first_unit_runs_from_install_to_start():
    world = World()
    world.deploy(1)
    assert world.since() == [*FIRST_START[:2], "leader-elected", *FIRST_START[2:]]


def test_a_second_unit_is_joined_and_changed_on_both_sides_after_start():
    world = World()
    world.deploy(1)
    world.since()
    world.add(1)
    assert [name for who, name in world.ran if who == "probe/0"] == [
        "peers-relation-joined",
        "peers-relation-changed",
    ]
    assert world.since("probe/1") == [
        *FIRST_START,
        "peers-relation-joined",
        "peers-relation-changed",
    ]


def test_a_new_unit_hears_of_the_application_databag_before_any_joined():
    world = World()
    world.deploy(1)
    relation = world.model.relations[0]
    world.model.relations.write_bag(relation, "probe", {"primary": "probe/0"})
    world.settle()
    world.since()
    world.add(1)
    events = [name for name in world.since("probe/1") if "relation-" in name]
    assert events == [
        "peers-relation-created",
        "peers-relation-changed",
        "peers-relation-joined",
        "peers-relation-changed",
    ]


def test_the_writing_leader_too_is_told_of_the_application_databag():
    world = World()
    world.deploy(2)
    world.since()
    world.model.relations.write_bag(world.model.relations[0], "probe", {"k": "1"})
    world.settle()
    assert world.ran == [(f"probe/{n}", "peers-relation-changed") for n in (0, 1)]


def test_changes_of_a_databag_come_as_one_event_and_never_to_the_writer():
    world = World()
    world.deploy(2)
    world.since()
    for value in ("1", "2", "2"):
        world.model.relations.write_bag(world.model.relations[0], "probe/0", {"k": value})
    world.settle()
    assert world.ran == [("probe/1", "peers-relation-changed")]
    world.since()
    world.model.relations.write_bag(world.model.relations[0], "probe/0", {"k": "2"})
    world.settle()
    assert world.ran == []


def test_a_change_while_its_event_runs_gives_one_more_event():
    world = World()
    world.deploy(2)
    relation = world.model.relations[0]
    world.since()

    def write_once_more(unit: Unit, hook: Hook) -> None:
        if len(world.ran) == 1:
            world.model.relations.write_bag(relation, "probe/0", {"k": "2"})

    world.on_hook = write_once_more
    world.model.relations.write_bag(relation, "probe/0", {"k": "1"})
    world.settle()
    assert world.ran == [("probe/1", "peers-relation-changed")] * 2


def test_config_changed_follows_a_change_of_value_only():
    world = World()
    world.deploy(1)
    world.since()
    world.model.set_config("probe", {"flag": "false"})
    world.settle()
    assert world.since() == []
    world.model.set_config("probe", {"flag": "true", "number": "3"})
    world.settle()
    assert world.since() == ["config-changed"]
    with pytest.raises(ModelError, match="expected int"):
        world.model.set_config("probe", {"number": "three"})


def test_update_status_comes_at_its_time_when_nothing_else_is_due():
    world = World()
    world.deploy(1)
    world.since()
    world.now += world.settings.update_status_s - 1
    world.settle()
    assert world.since() == []
    world.now += 1
    world.model.set_config("probe", {"number": 1})
    world.settle()
    assert world.since() == ["config-changed", "update-status"]


# Leaving.


def test_a_leaving_unit_detaches_departs_stops_and_is_removed():
    world = World()
    world.deploy(3)
    world.since()
    assert [u.name for u in world.model.choose_leavers("probe", 1)] == ["probe/2"]
    world.settle()
    assert [name for who, name in world.ran if who == "probe/2"] == [
        "data-storage-detaching",
        "peers-relation-departed",
        "peers-relation-departed",
        "stop",
        "remove",
    ]
    assert world.unit(2).life == "dead"
    own = [
        hook.departing_unit
        for (who, _), hook in zip(world.ran, world.details[-len(world.ran) :], strict=True)
        if who == "probe/2" and hook.kind == "relation-departed"
    ]
    assert own == ["probe/2", "probe/2"]


@pytest.mark.parametrize(
    ("departed", "while_dying", "after_death"),
    [("early", 1, 0), ("late", 0, 1), ("never", 0, 0)],
)
def test_the_others_hear_of_a_departure(departed: str, while_dying: int, after_death: int):
    world = World(Settings(departed=departed))
    world.deploy(2)
    world.since()
    (leaver,) = world.model.choose_leavers("probe", 1)
    world.settle()
    assert world.since("probe/0").count("peers-relation-departed") == while_dying
    if departed == "late":
        world.model.relations.leave_scopes(leaver)
    world.model.drop_unit(leaver)
    world.settle()
    assert world.since("probe/0").count("peers-relation-departed") == after_death
    told = world.unit(0).told.relations[0]
    assert (set(told.members) == {"probe/1"}) == (departed == "never")


def test_a_new_unit_hears_nothing_of_one_that_left_unnoticed():
    world = World(Settings(departed="never"))
    world.deploy(3)
    (leaver,) = world.model.choose_leavers("probe", 1)
    world.settle()
    world.model.drop_unit(leaver)
    world.settings.leavers = "lowest"
    world.since()
    (lowest,) = world.model.choose_leavers("probe", 1)
    world.settle()
    world.model.drop_unit(lowest)
    world.add(1)
    assert set(world.unit(0).told.relations[0].members) == {"probe/1"}


def test_the_lowest_ordinals_leave_when_the_settings_say_so():
    world = World(Settings(leavers="lowest"))
    world.deploy(3)
    assert [u.name for u in world.model.choose_leavers("probe", 2)] == ["probe/0", "probe/1"]
    with pytest.raises(ModelError):
        world.model.choose_leavers("probe", 2)


def test_a_dead_unit_does_not_start_to_leave_again():
    world = World()
    world.deploy(2)
    (leaver,) = world.model.choose_leavers("probe", 1)
    world.settle()
    world.model.set_dying(leaver)
    assert leaver.life == "dead"


def test_an_application_that_goes_takes_no_more_units():
    world = World()
    world.deploy(1)
    world.model.app("probe").removed = True
    with pytest.raises(ModelError, match="being removed"):
        world.model.add_units("probe", 1)


def test_a_failing_hook_holds_up_the_removal():
    world = World()
    world.deploy(2)
    (leaver,) = world.model.choose_leavers("probe", 1)
    hook = resolver.next_hook(world.model, leaver, (), world.now)
    assert hook is not None
    resolver.failed(world.model, leaver, hook)
    world.settle()
    assert leaver.life == "dying"
    world.now += resolver.RETRY_FIRST_S
    world.settle()
    assert leaver.life == "dead"


def test_a_unit_that_was_never_installed_leaves_without_a_hook():
    world = World()
    world.deploy(1)
    world.since()
    world.model.add_units("probe", 1)
    world.model.choose_leavers("probe", 1)
    world.settle()
    assert world.since("probe/1") == []
    assert world.unit(1).life == "dead"


def test_a_new_unit_of_an_old_ordinal_starts_anew_with_the_old_storage():
    world = World()
    world.deploy(2)
    before = [s.id for s in world.model.storages.values()]
    world.model.relations.write_bag(world.model.relations[0], "probe/1", {"old": "value"})
    (leaver,) = world.model.choose_leavers("probe", 1)
    world.settle()
    world.model.drop_unit(leaver)
    world.since()
    world.add(1)
    assert world.since("probe/1")[: len(FIRST_START)] == FIRST_START
    assert [s.id for s in world.model.storages.values()] == before
    assert "old" not in world.model.relations.databags("probe")["peers:0"]["probe/1"]


# Pods and agents.


def test_a_new_pod_brings_upgrade_config_and_start_and_no_relation_event():
    world = World()
    world.deploy(2)
    world.since()
    world.start_pod(world.unit(1))
    world.settle()
    assert world.ran == [
        ("probe/1", name) for name in ("upgrade-charm", "config-changed", "start")
    ]


def test_the_hook_that_a_killed_pod_cut_off_runs_again_instead_of_upgrade_charm():
    world = World()
    world.deploy(1)
    world.since()
    world.start_pod(world.unit(0), Hook("update-status", "update-status"))
    world.settle()
    assert world.since() == []
    world.now += resolver.RETRY_FIRST_S
    world.settle()
    assert world.since() == ["update-status", "start"]


def test_a_failed_hook_is_retried_after_a_time_that_doubles():
    world = World()
    world.deploy(1)
    unit = world.unit(0)
    hook = Hook("config-changed", "config-changed")
    waits = []
    for _ in range(8):
        resolver.failed(world.model, unit, hook)
        waits.append(unit.retry_at - world.now)
    assert waits == [5, 10, 20, 40, 80, 160, 300, 300]


def test_a_unit_in_error_runs_actions_and_nothing_else():
    world = World()
    world.deploy(1)
    unit = world.unit(0)
    resolver.failed(world.model, unit, Hook("config-changed", "config-changed", version=9))
    world.model.relations.write_bag(world.model.relations[0], "probe", {"k": "v"})
    assert resolver.next_hook(world.model, unit, (), world.now) is None
    action = world.model.add_action("probe/0", "sh", {"command": "true"})
    hook = resolver.next_hook(world.model, unit, (), world.now)
    assert hook is not None and hook.action_id == action.id


def test_pebble_goes_before_secrets_actions_and_relations():
    world = World()
    world.deploy(1)
    unit = world.unit(0)
    world.model.add_action("probe/0", "sh", {"command": "true"})
    event = Hook("pebble-ready", "one-pebble-ready", workload="one")
    assert resolver.next_hook(world.model, unit, [event], world.now) == event


# Leadership.


def test_a_leader_that_is_gone_keeps_its_lease_and_then_another_is_elected():
    world = World()
    world.deploy(2)
    world.since()
    world.now += 45
    world.model.leases.set_present(world.unit(0), False)
    assert world.model.leases.expire() == pytest.approx(1000 + 30 + 60)
    world.now = 1089.9
    world.model.leases.expire()
    assert world.model.leases.is_leader(world.unit(0))
    world.now = 1090
    world.model.leases.expire()
    world.settle()
    assert world.ran == [("probe/1", "leader-elected")]
    world.since()
    world.model.leases.set_present(world.unit(0), True)
    world.settle()
    assert world.ran == [] and not world.model.leases.is_leader(world.unit(0))


def test_a_leader_that_is_back_in_time_keeps_the_leadership_and_hears_nothing():
    world = World()
    world.deploy(2)
    world.since()
    world.model.leases.set_present(world.unit(0), False)
    world.now += 50
    world.model.leases.set_present(world.unit(0), True)
    world.now += 500
    world.model.leases.expire()
    assert world.model.leases.is_leader(world.unit(0))


def test_a_leaving_leader_leads_until_it_is_deleted():
    world = World(Settings(leavers="lowest"))
    world.deploy(2)
    (leaver,) = world.model.choose_leavers("probe", 1)
    world.settle()
    assert world.model.leases.is_leader(leaver)
    world.since()
    world.model.drop_unit(leaver)
    world.settle()
    assert "leader-elected" in world.since("probe/1")


def test_elect_tells_the_new_leader_only():
    world = World()
    world.deploy(2)
    world.since()
    world.model.leases.elect(world.unit(1))
    world.settle()
    assert world.ran == [("probe/1", "leader-elected")]


# Relations of two applications.


def test_relations_are_created_joined_departed_and_broken():
    world = World()
    world.deploy(1)
    world.deploy(1, "other")
    world.since()
    world.model.relations.integrate("probe:downstream", "other")
    world.settle()
    assert world.since("probe/0") == [
        f"downstream-relation-{event}" for event in ("created", "joined", "changed")
    ]
    with pytest.raises(ModelError, match="already exists"):
        world.model.relations.integrate("probe:downstream", "other")
    world.model.relations.end("probe", "other:upstream")
    world.settle()
    assert {name for _, name in world.ran} == {
        f"{end}-relation-{event}"
        for end in ("downstream", "upstream")
        for event in ("departed", "broken")
    }
    assert list(world.model.relations) == [0, 1]


def test_an_ambiguous_relation_is_refused():
    world = World()
    world.deploy(1)
    world.deploy(1, "other")
    with pytest.raises(ModelError, match="ambiguous"):
        world.model.relations.integrate("probe", "other")


# Secrets.


def _secret(world: World, owner: str = "probe") -> Secret:
    secret = Secret("a" * 20, owner, {1: {"key": "one"}})
    world.model.secrets[secret.id] = secret
    return secret


def test_every_reader_is_told_of_a_new_revision_once():
    world = World()
    world.deploy(3)
    secret = _secret(world)
    for number in (0, 1):
        world.model.secrets.track(secret, world.unit(number), refresh=False)
    world.since()
    secret.revisions[2] = {"key": "two"}
    secret.revisions[3] = {"key": "three"}
    world.settle()
    changed = [who for who, name in world.ran if name == "secret-changed"]
    assert sorted(changed) == ["probe/0", "probe/1"]


def test_the_owner_removes_each_revision_that_nobody_tracks():
    world = World()
    world.deploy(2)
    secret = _secret(world)
    world.model.secrets.track(secret, world.unit(1), refresh=False)
    secret.revisions[2] = {"key": "two"}
    world.settle()
    assert "secret-remove" not in world.since()
    world.model.secrets.track(secret, world.unit(1), refresh=True)
    world.settle()
    assert world.ran == [("probe/0", "secret-remove")]
    assert world.details[-1].secret_revision == 1


def test_rotation_and_expiry_go_to_the_owner_when_they_are_due():
    world = World()
    world.deploy(2)
    secret = _secret(world)
    start = datetime.now(timezone.utc)
    secret.rotate, secret.rotates = "hourly", start + timedelta(hours=1)
    secret.expires = start + timedelta(hours=2)
    world.since()
    assert world.model.secrets.due(start) == secret.rotates
    world.settle()
    assert world.since() == []
    assert world.model.secrets.due(start + timedelta(hours=3)) is None
    world.settle()
    assert world.ran == [("probe/0", "secret-expired"), ("probe/0", "secret-rotate")]
    assert secret.rotates is not None and secret.rotates > start
    assert world.details[-2].secret_revision == 1


def test_unknown_settings_and_values_are_refused():
    for wrong in ({"departed": "soon"}, {"nonsense": 1}, {"lease_s": "x"}):
        with pytest.raises(ModelError):
            Settings().update(wrong)
