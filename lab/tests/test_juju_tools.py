"""Each hook tool: arguments, output, error text and exit code, and what a commit brings."""

import json
from pathlib import Path
from typing import Any

import pytest

from lab import resolver
from lab.model import Action, Hook, Model, ModelError, Unit
from lab.packing import read_meta
from lab.tools import TOOLS, CommitError, HookContext

META = read_meta(Path(__file__).parent / "probe-charm")
CONFIG_CHANGED = Hook("config-changed", "config-changed")


class World:
    """Applications ``probe`` (two units) and ``other`` (one), related by 2, peers by 0 and 1."""

    def __init__(self, tmp_path: Path) -> None:
        self.tmp_path = tmp_path
        self.model = Model("m")
        for app, count in (("probe", 2), ("other", 1)):
            self.model.add_app(app, "/charm", META, {}, {})
            for unit in self.model.add_units(app, count):
                unit.address = f"10.1.0.{unit.number}"
                self.model.leases.set_present(unit, True)
        for storage in self.model.storages.values():
            storage.mounted = True
        self.model.relations.integrate("probe:downstream", "other:upstream")
        self.settle()
        self.caches: dict[str, Any] = {}

    def settle(self) -> None:
        busy = True
        while busy:
            busy = False
            for unit in self.model.units():
                hook = resolver.next_hook(self.model, unit, (), self.model.clock())
                if hook is not None:
                    busy = True
                    resolver.committed(self.model, unit, hook)

    def unit(self, name: str) -> Unit:
        return self.model.unit(name)

    def context(
        self, unit: str = "probe/0", hook: Hook = CONFIG_CHANGED, action: Action | None = None
    ) -> HookContext:
        def resource(name: str) -> str:
            if name != "text":
                raise ModelError(f'resource "{name}" not found')
            return "/path/text.txt"

        return HookContext(
            id="context",
            model=self.model,
            unit=self.unit(unit),
            hook=hook,
            members=self.caches.setdefault(unit, {}),
            path=lambda inside: self.tmp_path / inside.lstrip("/"),
            resource=resource,
            action=action,
        )


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def call(context: HookContext, *argv: str, stdin: str | None = None) -> Any:
    """Return what a tool prints, as JSON if it is; the tool must end well."""
    reply = context.run(argv, stdin)
    assert (reply.rc, reply.stderr) == (0, ""), reply
    return json.loads(reply.stdout) if "--format=json" in argv else reply.stdout


def refused(context: HookContext, *argv: str, stdin: str | None = None) -> tuple[int, str]:
    """Return exit code and error text of a tool that must fail."""
    reply = context.run(argv, stdin)
    assert reply.rc != 0 and reply.stdout == "" and reply.stderr.startswith("ERROR ")
    return reply.rc, reply.stderr.removeprefix("ERROR ").rstrip("\n")


J = "--format=json"


def test_every_tool_has_a_test():
    text = Path(__file__).read_text(encoding="utf-8")
    assert [name for name in TOOLS if f'"{name}"' not in text] == []


@pytest.mark.parametrize(
    ("argv", "printed"),
    [
        (("is-leader", J), "true\n"),
        (("is-leader",), "True\n"),
        (("config-get", J), '{"hooks":"{}","flag":false}\n'),
        (("config-get", J, "flag"), "false\n"),
        (("config-get", J, "number"), "null\n"),
        (("config-get", "flag"), "False\n"),
        (("relation-ids", "peers", J), '["peers:0"]\n'),
        (("relation-ids", "downstream", J), '["downstream:2"]\n'),
        (("relation-ids", "nonsense", J), "[]\n"),
        (("relation-list", J, "-r", "peers:0"), '["probe/1"]\n'),
        (("relation-list", J, "--app", "-r", "peers:0"), '"probe"\n'),
        (("relation-list", J, "-r", "downstream:2"), '["other/0"]\n'),
        (("relation-list", J, "--app", "-r", "2"), '"other"\n'),
        (("resource-get", "text"), "/path/text.txt"),
        (("storage-list", J, "data"), '["data/0"]\n'),
        (("storage-list", J, "more"), "[]\n"),
        (
            ("storage-get", J, "-s", "data/0"),
            '{"kind":"filesystem","location":"/srv/data"}\n',
        ),
        (("opened-ports", J), "[]\n"),
        (("secret-ids", J), "null\n"),
        (("state-get", J), "{}\n"),
        (("leader-get", J), "{}\n"),
        (
            ("status-get", "--include-data", J, "--application=false"),
            '{"message":"installing agent","status":"waiting","status-data":{}}\n',
        ),
    ],
)
def test_output(world: World, argv: tuple[str, ...], printed: str):
    assert world.context().run(argv, None).stdout == printed


def test_the_help_of_storage_get_names_the_storage_of_the_hook(world: World):
    """So did releases of ops before JUJU_STORAGE_ID learn of it, 2.3 among them."""
    attached = Hook("data-storage-attached", "storage", storage_id="data/0")
    lines = call(world.context(hook=attached), "storage-get", "--help").splitlines()
    assert "-s  (= data/0)" in lines


@pytest.mark.parametrize(
    ("unit", "argv", "rc", "text"),
    [
        ("probe/0", ("nonsense",), 1, "unknown command nonsense"),
        ("probe/0", ("is-leader", "--nonsense"), 2, "option provided but not defined"),
        ("probe/0", ("relation-list", J, "-r"), 2, "option needs an argument: -r"),
        (
            "probe/0",
            ("relation-list", J, "-r", "peers:9"),
            2,
            'invalid value "peers:9" for option -r: relation not found',
        ),
        ("probe/0", ("relation-list", J, "-r", "peers:2"), 2, "relation not found"),
        ("probe/0", ("relation-list", J, "-r", "other:1"), 2, "relation not found"),
        ("probe/0", ("relation-list", J), 2, "no relation id specified"),
        ("probe/0", ("relation-get", J, "-r", "0", "-"), 2, "no unit id specified"),
        ("probe/0", ("relation-get", J, "-r", "0", "-", "x/7"), 1, "permission denied"),
        ("probe/1", ("relation-get", J, "-r", "2", "--app", "-", "probe"), 1, "permission denied"),
        ("probe/1", ("status-set", "--application=True", "active"), 1, "this unit is not the"),
        ("probe/1", ("status-get", "--application=true", J), 1, "this unit is not the leader"),
        ("probe/0", ("status-set", "--application=False", "error"), 1, 'invalid status "error"'),
        ("probe/1", ("leader-set", "k=v"), 1, "cannot write leadership settings"),
        ("probe/0", ("resource-get", "nope"), 1, "could not download resource: "),
        ("probe/0", ("storage-get", J), 2, "no storage instance specified"),
        ("probe/0", ("storage-get", J, "-s", "data/1"), 2, 'invalid value "data/1" for option -s'),
        ("probe/0", ("storage-add", "nope=1"), 1, 'storage "nope" not found'),
        ("probe/0", ("open-port", "x/tcp"), 2, "expected <port>[/<protocol>]"),
        ("probe/0", ("open-port", "70000/tcp"), 1, "between 1 and 65535"),
        ("probe/0", ("network-get", J, "nope"), 1, "no network config found for binding"),
        ("probe/0", ("credential-get", J), 1, "cannot access cloud credentials: "),
        ("probe/0", ("juju-reboot", "--now"), 1, "not supported on Kubernetes"),
        ("probe/0", ("action-get", J), 1, "not running an action"),
        ("probe/0", ("secret-get", J, "nope"), 1, 'secret "nope" not found'),
        ("probe/0", ("secret-get", J, "--label", "x"), 1, 'consumer label "x" not found'),
        ("probe/0", ("secret-get", J), 1, "require either a secret URI or label"),
        ("probe/0", ("secret-info-get", J, "nope"), 1, 'secret "nope" not found'),
        ("probe/1", ("secret-add", "--owner", "application", "key=v"), 1, "not the leader"),
        ("probe/0", ("secret-add", "--owner", "application"), 1, "missing secret value"),
        ("probe/0", ("secret-add", "K=v"), 1, 'key "K" not valid'),
        ("probe/0", ("secret-add", "--rotate", "often", "key=v"), 1, 'rotate policy "often"'),
        ("probe/0", ("secret-add", "--expire", "soon", "key=v"), 1, 'duration "soon" not valid'),
    ],
)
def test_refusals(world: World, unit: str, argv: tuple[str, ...], rc: int, text: str):
    found = refused(world.context(unit), *argv)
    assert found[0] == rc and text in found[1]


# Relations.


def test_relation_set_is_seen_by_others_only_after_the_commit(world: World):
    writer, reader = world.context("probe/0"), world.context("probe/1")
    call(writer, "relation-set", "-r", "peers:0", "--file", "-", stdin='{"k": "v", "n": "1"}')
    call(writer, "relation-set", "-r", "peers:0", "--app", "--file", "-", stdin="{a: b}")
    assert call(writer, "relation-get", J, "-r", "peers:0", "-", "probe/0")["k"] == "v"
    assert call(writer, "relation-get", J, "-r", "peers:0", "--app", "-", "probe") == {"a": "b"}
    assert "k" not in call(reader, "relation-get", J, "-r", "peers:0", "-", "probe/0")
    writer.commit()
    assert world.model.relations.databags("probe")["peers:0"]["probe"] == {"a": "b"}
    again = world.context("probe/0")
    call(again, "relation-set", "-r", "peers:0", "--file", "-", stdin='{"k": ""}')
    again.commit()
    bag = world.model.relations.databags("probe")["peers:0"]["probe/0"]
    assert bag.get("n") == "1" and "k" not in bag


def test_what_a_failed_hook_wrote_is_gone(world: World):
    context = world.context()
    call(context, "relation-set", "-r", "0", "k=v")
    call(context, "secret-add", "key=v")
    call(context, "open-port", "80/tcp")
    call(context, "state-set", "k=v")
    call(context, "status-set", "--application=False", "blocked", "--", "-x")
    fresh = world.context()
    assert "k" not in call(fresh, "relation-get", J, "-r", "0", "-", "probe/0")
    assert call(fresh, "secret-ids", J) is None
    assert call(fresh, "opened-ports", J) == []
    assert call(fresh, "state-get", J) == {}
    # A status is set at once, whatever becomes of the hook.
    assert call(fresh, "status-get") == "blocked\n"


def test_the_app_databag_is_the_leaders_to_write(world: World):
    follower = world.context("probe/1")
    found = refused(follower, "relation-set", "-r", "0", "--app", "--file", "-", stdin="{a: b}")
    assert found == (1, "cannot write relation settings")
    leader = world.context("probe/0")
    call(leader, "relation-set", "-r", "0", "--app", "a=b")
    call(leader, "relation-set", "-r", "0", "c=d")
    world.model.leases.elect(world.unit("probe/1"))
    with pytest.raises(CommitError):
        leader.commit()
    assert "c" not in world.model.relations.databags("probe")["peers:0"]["probe/0"]


def test_members_databags_are_cached_until_their_own_event(world: World):
    def seen(hook: Hook = CONFIG_CHANGED) -> Any:
        context = world.context("probe/0", hook)
        return call(context, "relation-get", J, "-r", "0", "-", "probe/1").get("k")

    relation = world.model.relations[0]
    assert seen() is None
    world.model.relations.write_bag(relation, "probe/1", {"k": "new"})
    assert seen() is None
    # The agent forgets the bag when it is about to run the unit's event.
    world.caches["probe/0"].pop((0, "probe/1"))
    assert seen() == "new"


def test_app_databags_are_read_once_in_a_hook(world: World):
    relation = world.model.relations[2]
    context = world.context()
    assert call(context, "relation-get", J, "-r", "2", "--app", "-", "other") == {}
    world.model.relations.write_bag(relation, "other", {"k": "v"})
    assert call(context, "relation-get", J, "-r", "2", "--app", "-", "other") == {}
    assert call(world.context(), "relation-get", J, "-r", "2", "--app", "k", "other") == "v"


def test_relation_list_follows_what_the_charm_is_told(world: World):
    def listed(kind: str) -> list[str]:
        hook = Hook(kind, f"peers-{kind}", 0, "probe", "probe/1")
        return call(world.context("probe/0", hook), "relation-list", J)

    assert listed("relation-departed") == []
    world.unit("probe/0").told.relations[0].members.clear()
    assert call(world.context(), "relation-list", J, "-r", "0") == []
    assert listed("relation-joined") == ["probe/1"]


def test_a_relation_hook_knows_its_relation_and_unit(world: World):
    world.model.relations.write_bag(world.model.relations[2], "other/0", {"k": "v"})
    hook = Hook("relation-changed", "downstream-relation-changed", 2, "other", "other/0")
    context = world.context("probe/0", hook)
    assert call(context, "relation-get", "k") == "v\n"
    assert call(context, "relation-ids", J) == ["downstream:2"]
    call(context, "juju-log", "--log-level", "WARNING", "--", "-hello")
    lines, _ = world.model.log.since(0)
    assert "WARNING unit.probe/0.juju-log downstream:2: -hello" in lines[-1]


def test_a_broken_relation_is_not_listed_and_still_readable(world: World):
    hook = Hook("relation-broken", "downstream-relation-broken", 2, "other")
    context = world.context("probe/0", hook)
    assert call(context, "relation-ids", "downstream", J) == []
    assert call(context, "relation-get", J, "-r", "2", "-", "probe/0")


def test_a_relation_is_there_in_its_own_relation_created(world: World):
    world.model.relations.integrate("other:downstream", "probe:upstream")
    hook = Hook("relation-created", "upstream-relation-created", 3, "other")
    context = world.context("probe/0", hook)
    assert call(context, "relation-ids", "upstream", J) == ["upstream:3"]
    assert call(context, "relation-list", J, "-r", "3") == []
    assert call(context, "relation-list", J, "--app", "-r", "3") == "other"
    call(context, "relation-set", "-r", "3", "k=v")
    context.commit()
    assert world.model.relations[3].bags["probe/0"].data["k"] == "v"
    # In another hook before that one it is not known yet.
    assert call(world.context("probe/1"), "relation-ids", "upstream", J) == []


def test_no_relation_is_known_during_install(world: World):
    unit = world.model.add_units("probe", 1)[0]
    context = world.context(unit.name, Hook("install", "install"))
    assert call(context, "relation-ids", "peers", J) == []
    assert refused(context, "relation-get", J, "-r", "0", "-", unit.name)[0] == 2


def test_relation_model_get_and_network_get(world: World):
    context = world.context()
    assert call(context, "relation-model-get", J, "-r", "2") == {"uuid": world.model.uuid}
    found = call(context, "network-get", J, "peers")
    assert found["bind-addresses"][0]["addresses"][0]["value"] == "10.1.0.0"
    assert found["ingress-addresses"] == [world.model.apps["probe"].service_ip]
    assert call(context, "network-get", "--bind-address", "peers") == "10.1.0.0\n"
    assert call(context, "network-get", J, "-r", "0", "peers") == found


# The unit.


def test_statuses(world: World):
    leader = world.context()
    call(leader, "status-set", "--application=False", "maintenance", "--", "working")
    call(leader, "status-set", "--application=True", "blocked", "--", "no -- really")
    found = call(leader, "status-get", "--include-data", J, "--application=true")
    status = found["application-status"]
    assert (status["status"], status["message"]) == ("blocked", "no -- really")
    assert status["units"]["probe/0"]["status"] == "maintenance"
    shown = world.model.statuses.everything()["applications"]
    assert shown["probe"]["status"]["current"] == "blocked"
    assert shown["other"]["status"]["current"] == "waiting"


def test_goal_state_shows_dying_units_and_related_applications(world: World):
    world.model.choose_leavers("probe", 1)
    found = call(world.context(), "goal-state", J)
    assert {name: goal["status"] for name, goal in found["units"].items()} == {
        "probe/0": "waiting",
        "probe/1": "dying",
    }
    assert set(found["relations"]["downstream"]) == {"other", "other/0"}


def test_version_ports_state_storage_and_leader_settings(world: World):
    context = world.context()
    call(context, "application-version-set", "--", "-7.2")
    assert world.unit("probe/0").version == "-7.2"
    for argv in (
        ("open-port", "6379/tcp"),
        ("open-port", "53/udp"),
        ("open-port", "80"),
        ("close-port", "80/tcp"),
        ("state-set", "a=1"),
        ("storage-add", "more=1"),
        ("leader-set", "k=v"),
    ):
        call(context, *argv)
    call(context, "state-set", "--file", "-", stdin="b: '2'")
    assert call(context, "leader-get", "k") == "v\n"
    context.commit()
    after = world.context()
    assert call(after, "opened-ports", J) == ["53/udp", "6379/tcp"]
    assert call(after, "state-get", J) == {"a": "1", "b": "2"}
    call(after, "state-delete", "a")
    assert call(after, "state-get", "a") == "\n"
    after.commit()
    assert world.unit("probe/0").state == {"b": "2"}
    assert [s.name for s in world.model.storages.values() if s.unit == "probe/0"] == [
        "data",
        "more",
    ]
    assert call(world.context("probe/1"), "leader-get", J) == {"k": "v"}


# Actions.


def test_actions(world: World):
    action = Action("id", "sh", {"command": "x", "deep": {"er": [1]}})
    context = world.context(hook=Hook("action", "sh", action_id="id"), action=action)
    assert call(context, "action-get", J) == action.params
    assert call(context, "action-get", J, "deep.er") == [1]
    assert call(context, "action-get", J, "nope") is None
    call(context, "action-set", "a.b=1", "a.c=x=y", "d=")
    call(context, "action-log", "--", "-at work")
    assert action.results == {"a": {"b": "1", "c": "x=y"}, "d": ""}
    assert action.log == ["-at work"]
    assert 'key "A" must' in refused(context, "action-set", "A=1")[1]
    assert "reserved" in refused(context, "action-set", "stdout=1")[1]
    assert "juju-reboot is not supported when" in refused(context, "juju-reboot")[1]
    call(context, "action-fail", "--", "broken")
    assert context.action_failed and action.message == "broken"


def test_parameters_of_an_action_are_checked(world: World):
    for params, text in (
        ({}, "property is missing"),
        ({"command": 1}, "must be of type string"),
        ({"command": "x", "more": 1}, "not allowed"),
    ):
        with pytest.raises(ModelError, match=text):
            world.model.add_action("probe/0", "sh", params)
    with pytest.raises(ModelError, match="not defined on unit"):
        world.model.add_action("probe/0", "nope", {})


# Secrets.


def add_secret(world: World, owner: str = "application", unit: str = "probe/0") -> str:
    context = world.context(unit)
    (world.tmp_path / "key").write_text("one\n", encoding="utf-8")
    argv = ("--label", "mine", "--description", "D", "--owner", owner, "key#file=/key")
    text = call(context, "secret-add", *argv)
    assert call(context, "secret-get", J, text.strip()) == {"key": "one\n"}
    assert call(context, "secret-get", J, "--label", "mine") == {"key": "one\n"}
    context.commit()
    assert text.startswith("secret:") and len(text.strip()) == len("secret:") + 20
    return text.strip().removeprefix("secret:")


def set_secret(world: World, secret: str, value: str) -> None:
    context = world.context()
    call(context, "secret-set", "--owner", "application", secret, f"key={value}")
    context.commit()


def test_an_application_secret_is_the_leaders_to_manage_and_the_peers_to_read(world: World):
    secret = add_secret(world)
    follower = world.context("probe/1")
    assert call(follower, "secret-get", J, "--label", "mine") == {"key": "one\n"}
    assert call(follower, "secret-get", f"secret:{secret}", "key") == "one\n\n"
    assert refused(follower, "secret-info-get", J, secret)[1] == f'secret "{secret}" not found'
    assert refused(follower, "secret-set", secret, "key=2")[1] == f'secret "{secret}" not found'
    assert call(follower, "secret-ids", J) is None
    assert call(world.context(), "secret-ids", J) == [secret]
    info = call(world.context(), "secret-info-get", J, "--label", "mine")
    assert info == {
        secret: {
            "revision": 1,
            "label": "mine",
            "owner": "application",
            "description": "D",
            "rotation": "never",
        }
    }
    again = refused(world.context(), "secret-add", "--label", "mine", "key=v")
    assert again[1] == 'secret with label "mine" already exists'


def test_a_reader_keeps_its_revision_until_it_refreshes(world: World):
    secret = add_secret(world)
    reader = world.context("probe/1")
    assert call(reader, "secret-get", J, secret) == {"key": "one\n"}
    set_secret(world, secret, "two")
    assert call(reader, "secret-get", J, secret) == {"key": "one\n"}
    assert call(reader, "secret-get", J, secret, "--peek") == {"key": "two"}
    assert call(reader, "secret-get", J, secret) == {"key": "one\n"}
    assert call(reader, "secret-get", J, secret, "--refresh") == {"key": "two"}
    assert call(reader, "secret-get", J, secret) == {"key": "two"}


def test_the_hook_that_sets_a_secret_gets_the_old_and_peeks_the_new(world: World):
    secret = add_secret(world)
    context = world.context()
    assert call(context, "secret-get", J, secret) == {"key": "one\n"}
    call(context, "secret-set", "--label", "new", secret, "key=two")
    assert call(context, "secret-get", J, secret) == {"key": "one\n"}
    assert call(context, "secret-get", J, secret, "--peek") == {"key": "two"}
    assert call(context, "secret-info-get", J, secret)[secret]["revision"] == 2
    assert call(context, "secret-get", J, "--label", "new") == {"key": "one\n"}
    context.commit()
    assert world.model.secrets[secret].latest == 2


def test_the_same_content_makes_no_revision(world: World):
    secret = add_secret(world)
    set_secret(world, secret, "one\n")
    assert world.model.secrets[secret].latest == 1


def test_a_label_given_while_reading_is_kept_at_once(world: World):
    secret = add_secret(world)
    call(world.context("probe/1"), "secret-get", J, secret, "--label", "ours")
    assert call(world.context(), "secret-get", J, "--label", "ours") == {"key": "one\n"}


def test_another_application_needs_a_grant(world: World):
    secret = add_secret(world)
    foreign = world.context("other/0")
    assert refused(foreign, "secret-get", J, secret)[1] == "permission denied"
    owner = world.context()
    call(owner, "secret-grant", "--relation", "2", secret)
    assert refused(foreign, "secret-get", J, secret)[1] == "permission denied"
    owner.commit()
    assert call(foreign, "secret-get", J, secret, "--label", "theirs") == {"key": "one\n"}
    assert call(world.context("other/0"), "secret-get", J, "--label", "theirs")
    info = call(world.context(), "secret-info-get", J, secret)[secret]
    assert info["access"] == [
        {"target": "application-other", "scope": "relation-2", "role": "view"}
    ]
    owner = world.context()
    call(owner, "secret-revoke", "--relation", "2", secret)
    owner.commit()
    assert refused(foreign, "secret-get", J, secret)[1] == "permission denied"


def test_a_grant_to_a_unit_ends_with_the_relation(world: World):
    secret = add_secret(world)
    owner = world.context()
    call(owner, "secret-grant", "--relation", "2", "--unit", "other/0", secret)
    owner.commit()
    assert call(world.context("other/0"), "secret-get", J, secret)
    world.model.relations.end("probe", "other")
    world.settle()
    assert refused(world.context("other/0"), "secret-get", J, secret)[1] == "permission denied"


def test_a_unit_secret_is_its_units_alone(world: World):
    secret = add_secret(world, "unit", "probe/1")
    assert call(world.context("probe/1"), "secret-info-get", J, secret)[secret]["owner"] == "unit"
    assert refused(world.context("probe/0"), "secret-get", J, secret)[1] == "permission denied"


def test_revisions_and_secrets_are_removed(world: World):
    secret = add_secret(world)
    set_secret(world, secret, "two")
    context = world.context()
    call(context, "secret-remove", secret, "--revision", "1")
    context.commit()
    assert list(world.model.secrets[secret].revisions) == [2]
    context = world.context()
    call(context, "secret-remove", secret)
    context.commit()
    assert world.model.secrets == {}


def test_expiry_and_rotation(world: World):
    context = world.context()
    call(context, "secret-add", "--expire", "1h30m", "--rotate", "daily", "--label", "x", "key=v")
    context.commit()
    (secret,) = world.model.secrets.values()
    info = call(world.context(), "secret-info-get", J, secret.id)[secret.id]
    assert info["rotation"] == "daily" and info["expiry"] < info["rotates"]
    context = world.context()
    call(context, "secret-set", "--expire", "2031-01-02T03:04:05Z", "--rotate", "never", secret.id)
    context.commit()
    info = call(world.context(), "secret-info-get", J, secret.id)[secret.id]
    assert info["expiry"] == "2031-01-02T03:04:05Z" and "rotates" not in info


def test_calls_are_counted(world: World):
    context = world.context()
    for _ in range(3):
        call(context, "is-leader", J)
    assert dict(context.calls) == {"is-leader": 3}


def test_a_secret_revision_that_is_gone_is_found_missing_when_the_hook_ends(world: World):
    context = world.context()
    (tmp := world.tmp_path / "value").write_text("x" * 8)
    secret_id = call(context, "secret-add", "--owner", "application", f"key#file=/{tmp.name}")
    context.commit()
    tmp.write_text("y" * 8)
    context = world.context()
    call(context, "secret-set", secret_id.strip(), "--owner", "application", "key#file=/value")
    context.commit()
    for error in (None, "not found"):
        context = world.context()
        call(context, "secret-remove", secret_id.strip(), "--revision", "1")
        if error is None:
            context.commit()
        else:
            with pytest.raises(CommitError, match=error):
                context.commit()
