"""The worker that runs a unit's hooks, one at a time, and knows what failed."""

from __future__ import annotations

import signal

from lab import resolver
from lab.agent.dispatch import Dispatch
from lab.agent.state import End, Host, State
from lab.model import Action, Hook, ModelError, Status
from lab.pods import PodError
from lab.tools import CommitError, HookContext

WORKER_RESTART_S = 3.0


class Uniter:
    """Waits on the model until the resolver names a hook, runs it, and tells what became of it."""

    def __init__(self, host: Host, state: State, dispatch: Dispatch) -> None:
        self._host = host
        self._state = state
        self._unit = state.unit
        self._model = state.model
        self._dispatch = dispatch

    def serve(self) -> End | None:
        """Run hooks until the pod is to end; return how, or ``None`` if the unit is dead."""
        model, unit = self._model, self._unit
        while True:
            with model.lock:
                hook = None
                while hook is None:
                    if self._state.end is not None:
                        return self._state.end
                    now = model.clock()
                    if self._state.charm_died:
                        self._state.charm_died = False
                        self.restart_worker()
                    elif (
                        self._state.connected
                        and not self._state.frozen
                        and now >= self._state.pause_until
                    ):
                        hook = resolver.next_hook(model, unit, self._state.events, now)
                        if hook is None and resolver.is_finished(unit):
                            return None
                    if hook is None:
                        self.show_idle()
                        model.work.wait(self._next_time(now))
            self._run_hook(hook)

    def _next_time(self, now: float) -> float | None:
        unit = self._unit
        if not self._state.connected or self._state.frozen:
            return None
        moments = [unit.update_status_at]
        if unit.failed is not None:
            moments = [unit.retry_at]
        if now < self._state.pause_until:
            moments.append(self._state.pause_until)
        # Waiting for ever and waiting for a very long time are the same to an agent.
        return max(0.0, min(min(moments) - now, 3600.0))

    def show_idle(self) -> None:
        """Show what the agent is at while it runs no hook."""
        unit = self._unit
        if self._state.pod is None or self._state.lost:
            status = Status("allocating" if not unit.told.installed else "lost", "no pod")
        elif not self._state.connected or self._state.frozen:
            status = Status("lost", "agent is not communicating with the server")
        elif unit.failed is not None:
            kind = "action" if unit.failed.kind == "action" else "hook"
            status = Status("error", f'{kind} failed: "{unit.failed.name}"')
        else:
            status = Status("idle")
        if (status.current, status.message) != (unit.agent.current, unit.agent.message):
            unit.agent = status
            self._model.show()

    def _run_hook(self, hook: Hook) -> None:
        """Run a hook and give the model what became of it."""
        model, unit = self._model, self._unit
        action = next((a for a in unit.actions if a.id == hook.action_id), None)
        with model.lock:
            self._state.events = [event for event in self._state.events if event != hook]
            if hook.remote_unit and hook.relation_id is not None:
                self._state.members.pop((hook.relation_id, hook.remote_unit), None)
        rc, context = self._dispatch.execute(hook, action)
        with model.lock:
            if rc != 0 and (self._state.end is not None or self._is_charm_dead(rc)):
                self._cut_off(hook, action)
                return
            if rc == 0 and context is not None:
                try:
                    if not self._state.connected:
                        raise CommitError("connection is shut down")
                    context.commit()
                    self._host.cluster.look()
                except (CommitError, ModelError) as e:
                    source = "juju.worker.uniter.context"
                    self._state.log(
                        "ERROR", source, f"cannot write the changes of {hook.name}: {e}"
                    )
                    rc = 1
            if action is not None:
                self._finish_action(action, rc, context)
            elif rc == 0:
                resolver.committed(model, unit, hook)
                if hook.kind == "start":
                    self._state.ready = True
                    self._host.pods_changed(unit.app)
                if watcher := self._state.watchers.get(hook.workload):
                    watcher.done(hook)
            else:
                self._hook_failed(hook, rc)

    def _is_charm_dead(self, rc: int) -> bool:
        """Return whether a hook ended because the container it ran in did."""
        pod = self._state.pod
        if rc != -signal.SIGKILL:
            return False
        try:
            return pod is None or not pod.processes("charm")
        except PodError:
            return True

    def _cut_off(self, hook: Hook, action: Action | None) -> None:
        """Note that a hook has ended because its pod or container did."""
        if action is not None:
            self._finish_action(action, 1, None)
            return
        if hook.workload:
            return
        if self._state.end is None:
            # Only the container went, so the hook waits and runs again in the same pod.
            resolver.failed(self._model, self._unit, hook)
        elif not self._state.end.graceful:
            self._state.interrupted = hook

    def _hook_failed(self, hook: Hook, rc: int) -> None:
        model, unit = self._model, self._unit
        source = "juju.worker.uniter.operation"
        self._state.log("ERROR", source, f'hook "{hook.name}" failed: exit status {rc}')
        if rc in (-signal.SIGKILL, -signal.SIGTERM):
            # Juju takes this for an end from outside: the hook stays queued.
            if not unit.queue or unit.queue[0] != hook:
                unit.queue.appendleft(hook)
            self._state.pause_until = model.clock() + WORKER_RESTART_S
            return
        if hook.kind == "pebble-ready":
            if watcher := self._state.watchers.get(hook.workload):
                watcher.ready_again()
            return
        if hook.workload:
            self.restart_worker()
            return
        resolver.failed(model, unit, hook)

    def _finish_action(self, action: Action, rc: int, context: HookContext | None) -> None:
        if context is None:
            action.status, action.message = "failed", "action terminated"
        elif rc != 0:
            action.status = "failed"
            action.message = action.message or f"exit status {rc}"
        else:
            action.status = "failed" if context.action_failed else "completed"
        action.results.setdefault("return-code", rc)
        self._unit.actions.remove(action)
        self._model.touch()

    def restart_worker(self) -> None:
        """Begin as a unit agent's worker that was started again."""
        self._state.pause_until = self._model.clock() + WORKER_RESTART_S
        self._state.members.clear()
        self._state.events.clear()
        resolver.queue_start(self._unit)
        for watcher in self._state.watchers.values():
            watcher.replay()

    def stop(self) -> None:
        """Run ``stop`` in a pod that is ending, unless the unit has one in its removal."""
        unit = self._unit
        # A unit that is dying has its own stop in its removal; SIGTERM brings none.
        alive = unit.told.started and unit.life == "alive" and unit.failed is None
        if alive and self._state.connected:
            rc, context = self._dispatch.execute(Hook("stop", "stop"))
            if rc == 0 and context is not None:
                try:
                    context.commit()
                except CommitError as e:
                    self._state.log("ERROR", "juju.worker.uniter.context", f"stop: {e}")
