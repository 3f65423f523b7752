"""The environment of dispatch, as a unit's agent sets it."""

from __future__ import annotations

from collections.abc import Mapping

from lab.kubernetes.cluster import API_ADDRESS as KUBERNETES_ADDRESS
from lab.model import Action, Hook, Model, Unit
from lab.pods import PYTHON_BIN

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
API_ADDRESS = "10.152.183.2:17070"


def environment(
    model: Model, unit: Unit, hook: Hook, action: Action | None, context_id: str
) -> dict[str, str]:
    """Return all variables of one run of dispatch."""
    home = f"/var/lib/juju/agents/{unit.tag}"
    env = {
        "CHARM_DIR": f"{home}/charm",
        "JUJU_CHARM_DIR": f"{home}/charm",
        "JUJU_CONTEXT_ID": context_id,
        "JUJU_HOOK_NAME": "" if action is not None else hook.name,
        "JUJU_DISPATCH_PATH": f"{'hooks' if action is None else 'actions'}/{hook.name}",
        "JUJU_AGENT_SOCKET_ADDRESS": f"{home}/agent.socket",
        "JUJU_AGENT_SOCKET_NETWORK": "unix",
        "JUJU_UNIT_NAME": unit.name,
        "JUJU_MODEL_UUID": model.uuid,
        "JUJU_MODEL_NAME": model.name,
        "JUJU_API_ADDRESSES": API_ADDRESS,
        "JUJU_VERSION": model.settings.juju_version,
        "CLOUD_API_VERSION": "1.34.0",
        "JUJU_MACHINE_ID": "",
        "JUJU_PRINCIPAL_UNIT": "",
        "JUJU_AVAILABILITY_ZONE": "",
        "JUJU_CHARM_HTTP_PROXY": "",
        "JUJU_CHARM_HTTPS_PROXY": "",
        "JUJU_CHARM_FTP_PROXY": "",
        "JUJU_CHARM_NO_PROXY": "",
        "PATH": f"/var/lib/juju/tools/{unit.tag}:{PYTHON_BIN}:{SYSTEM_PATH}:/charm/bin",
        "LANG": "C.UTF-8",
        "TERM": "tmux-256color",
        "DEBIAN_FRONTEND": "noninteractive",
        "APT_LISTCHANGES_FRONTEND": "none",
    }
    if model.settings.kube_api != "absent":
        env["KUBERNETES_SERVICE_HOST"] = KUBERNETES_ADDRESS
        env["KUBERNETES_SERVICE_PORT"] = env["KUBERNETES_SERVICE_PORT_HTTPS"] = "443"
        env["KUBERNETES_PORT"] = f"tcp://{KUBERNETES_ADDRESS}:443"
    env.update(_event_variables(model, unit, hook, action))
    return env


def _event_variables(
    model: Model, unit: Unit, hook: Hook, action: Action | None
) -> Mapping[str, str]:
    if action is not None:
        return {
            "JUJU_ACTION_NAME": action.name,
            "JUJU_ACTION_UUID": action.id,
            "JUJU_ACTION_TAG": f"action-{action.id}",
        }
    if hook.relation_id is not None:
        relation = model.relations.get(hook.relation_id)
        name = relation.ends[unit.app].name if relation else ""
        found = {
            "JUJU_RELATION": name,
            "JUJU_RELATION_ID": f"{name}:{hook.relation_id}",
            "JUJU_REMOTE_APP": hook.remote_app,
            "JUJU_REMOTE_UNIT": hook.remote_unit,
        }
        if hook.departing_unit:
            found["JUJU_DEPARTING_UNIT"] = hook.departing_unit
        return found
    if hook.workload:
        found = {"JUJU_WORKLOAD_NAME": hook.workload}
        if hook.kind == "pebble-custom-notice":
            found["JUJU_NOTICE_ID"] = hook.notice_id
            found["JUJU_NOTICE_TYPE"] = "custom"
            found["JUJU_NOTICE_KEY"] = hook.notice_key
        elif hook.check:
            found["JUJU_PEBBLE_CHECK_NAME"] = hook.check
        return found
    if hook.secret_id:
        found = {"JUJU_SECRET_ID": hook.secret_id, "JUJU_SECRET_LABEL": hook.secret_label}
        if hook.secret_revision:
            found["JUJU_SECRET_REVISION"] = str(hook.secret_revision)
        return found
    if hook.storage_id:
        return {
            "JUJU_STORAGE_ID": hook.storage_id,
            "JUJU_STORAGE_LOCATION": model.storages[hook.storage_id].location,
            "JUJU_STORAGE_KIND": "filesystem",
        }
    return {}
