"""Runs the charm's dispatch in the pod, and answers its hook tools meanwhile."""

from __future__ import annotations

import os
import select
import shutil
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Callable
from json import dumps, loads

from lab.agent.environment import environment
from lab.agent.state import State
from lab.model import Action, Hook, ModelError, Status
from lab.pods import Pod, PodError
from lab.tools import HookContext, Reply

CUT_OFF = "ERROR connection is shut down\n"


class _Lines:
    """Passes on whole lines of what a process prints, and keeps all of it when asked to."""

    def __init__(self, write: Callable[[str], None], keep: bool) -> None:
        self._write = write
        self._rest = b""
        self.kept: list[bytes] | None = [] if keep else None

    def feed(self, data: bytes) -> None:
        if self.kept is not None:
            self.kept.append(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._write(line.decode(errors="replace"))

    def end(self) -> str:
        if self._rest:
            self._write(self._rest.decode(errors="replace"))
        return b"".join(self.kept or []).decode(errors="replace")


class Dispatch:
    """Runs one hook or action after the other."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._unit = state.unit
        self._model = state.model
        self._listener: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def execute(self, hook: Hook, action: Action | None = None) -> tuple[int, HookContext | None]:
        """Run dispatch to its end; return its exit code and the context, if it was started."""
        model, unit = self._model, self._unit
        pod = self._state.up()
        kind = "action" if action is not None else "hook"
        context = HookContext(
            id=f"{unit.name}-{hook.name}-{uuid.uuid4().hex}",
            model=model,
            unit=unit,
            hook=hook,
            members=self._state.members,
            path=lambda inside: pod.path("charm", inside),
            resource=lambda name: self._resource(pod, name),
            action=action,
        )
        with model.lock:
            unit.agent = Status("executing", f"running {hook.name} {kind}")
            env = environment(model, unit, hook, action, context.id)
            model.show()
        log = f"unit.{unit.name}.{hook.name}"
        out = _Lines(lambda line: self._state.log("DEBUG", log, line), action is not None)
        err = _Lines(lambda line: self._state.log("WARNING", log, line), action is not None)
        started, begun = time.time(), time.monotonic()
        charm = env["JUJU_CHARM_DIR"]
        try:
            process = pod.popen(
                "charm",
                [f"{charm}/dispatch"],
                env=env,
                cwd=charm,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        except (PodError, OSError) as e:
            self._state.log("ERROR", "juju.worker.uniter", f"cannot run {hook.name}: {e}")
            return 127, None
        with model.lock:
            self._process = process
            if self._state.end is not None and hook.kind != "stop":
                self.signal(signal.SIGTERM)
        self._attend(process, context, out, err)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - begun
        rc = process.returncode = os.waitstatus_to_exitcode(status)
        with model.lock:
            self._process = None
            cut_off = not self._state.connected
        texts = out.end(), err.end()
        if action is not None:
            for name, text in zip(("stdout", "stderr"), texts, strict=True):
                if text:
                    action.results[name] = text
        cpu = usage.ru_utime + usage.ru_stime
        counted = dict(context.calls)
        name = hook.name
        costs = {"wall_s": wall, "cpu_s": cpu, "tools": counted, "cut_off": cut_off}
        model.record(unit.name, name, rc, started, **costs)
        self._state.log("INFO", "juju.worker.uniter.operation", f'ran "{name}" {kind}, exit {rc}')
        return rc, context

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to what runs, if anything does."""
        if self._process is not None:
            try:
                os.killpg(self._process.pid, number)
            except ProcessLookupError:
                return

    def _attend(
        self, process: subprocess.Popen[bytes], context: HookContext, out: _Lines, err: _Lines
    ) -> None:
        """Pass on what dispatch prints and answer its hook tools until it has ended."""
        assert process.stdout is not None and process.stderr is not None
        assert self._listener is not None
        handle = os.pidfd_open(process.pid)
        streams = {process.stdout.fileno(): out, process.stderr.fileno(): err}
        listener = self._listener.fileno()
        poll = select.poll()
        for fd in (handle, listener, *streams):
            poll.register(fd, select.POLLIN)
        for fd in streams:
            os.set_blocking(fd, False)
        try:
            ended = False
            while not ended:
                for fd, _ in poll.poll():
                    if fd == listener:
                        self._answer(context)
                    elif fd == handle:
                        ended = True
                    elif not _drain(fd, streams[fd]):
                        poll.unregister(fd)
            # A process that dispatch has left behind may hold its pipes for ever.
            for fd, lines in streams.items():
                _drain(fd, lines)
        finally:
            os.close(handle)
            process.stdout.close()
            process.stderr.close()

    def listen(self, pod: Pod) -> None:
        """Take calls of hook tools from a pod that is about to start."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        path = pod.agent_dir / "agent.socket"
        listener.bind(str(path))
        listener.listen(64)
        self._listener = listener

    def _answer(self, context: HookContext) -> None:
        """Answer one call of a hook tool."""
        assert self._listener is not None
        connection, _ = self._listener.accept()
        with connection:
            connection.settimeout(5.0)
            try:
                with connection.makefile("rb") as lines:
                    request = loads(lines.readline())
                if not self._state.connected:
                    reply = Reply("", CUT_OFF, 1)
                elif request["context_id"] != context.id:
                    reply = Reply("", f"ERROR unknown context {request['context_id']}\n", 1)
                else:
                    reply = self._run_tool(context, request["argv"], request["stdin"])
                connection.sendall(dumps(vars(reply)).encode() + b"\n")
            except (OSError, ValueError, KeyError) as e:
                self._state.log("ERROR", "juju.worker.uniter", f"bad call of a hook tool: {e!r}")

    def _run_tool(self, context: HookContext, argv: list[str], stdin: str | None) -> Reply:
        """Run a tool in the time that one takes, or let it fail."""
        model, unit = self._model, self._unit
        with model.lock:
            faults = model.tool_faults
            faults.use(model.settings.tool_faults)
            error = faults.error(argv, unit.name, context.hook.name, context.id)
            listed = set(model.apps[unit.app].units)
            cost_s = model.settings.tool_cost_ms / 1000
        if cost_s:
            time.sleep(cost_s)
        if argv[0] == "goal-state":
            # Juju lists the units, then asks for each.
            with model.lock:
                gone = sorted(listed - set(model.apps[unit.app].units))
            error = f'unit "{gone[0]}" not found' if gone else error
        if error is not None:
            context.calls[argv[0]] += 1
            self._state.log("DEBUG", "juju.worker.uniter", f"made to fail: {argv[0]}: {error}")
            return Reply("", f"ERROR {error}\n", 1)
        return context.run(argv, stdin)

    def _resource(self, pod: Pod, name: str) -> str:
        """Put a resource into the pod and return its path there."""
        app = self._model.apps[self._unit.app]
        spec = app.meta.resources.get(name)
        if spec is None or name not in app.resources:
            raise ModelError(f'resource "{name}" not found')
        folder = pod.agent_dir / "resources" / name
        folder.mkdir(parents=True, exist_ok=True)
        if spec.get("type") == "oci-image":
            file = "content.yaml"
            (folder / file).write_text(f"registrypath: {app.resources[name]}\n", encoding="utf-8")
        else:
            file = str(spec.get("filename") or name)
            shutil.copyfile(app.resources[name], folder / file)
        return f"/var/lib/juju/agents/{self._unit.tag}/resources/{name}/{file}"

    def close(self) -> None:
        """Take no calls any more; fine when none are taken."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None


def _drain(fd: int, lines: _Lines) -> bool:
    """Read what a pipe has now; return whether more may come."""
    while True:
        try:
            data = os.read(fd, 65536)
        except BlockingIOError:
            return True
        if not data:
            return False
        lines.feed(data)
