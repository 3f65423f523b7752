# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Hook tools that fail, in one place: what becomes of a hook when Juju gives no answer.

Any tool may fail at any time, those too that ops calls by itself. The same world leads to the
same end, so a hook that a tool has stopped is begun anew, in the same process and the same context
of Juju, where what it wrote so far is kept; each tool has one such second chance in a hook. When
that is spent, whoever asked may do without the answer (``is_spent``); else the hook ends well, and
a notice has the charm look again. Nothing is decided on an answer that is missing.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import time
from collections.abc import Iterator
from typing import NoReturn

import ops
from ops import hookcmds, pebble
from ops.log import JujuLogHandler

import constants as c

_SPENT = "REDIS_K8S_TOOLS_THAT_FAILED"
_BEGUN = "REDIS_K8S_BEGUN_WITH"
_ONLY_ONCE = frozenset({"secret-expired"})
"""Hooks that end in error, for Juju to repeat them: what they tell is told by nothing else, and
the library of the certificates acts on it."""

FAILURES = (ops.ModelError, hookcmds.Error)
"""What ops raises when a tool failed."""

_acted: list[bool] = []
_begun: list[str] = []
"""For the environment of the next run, if this one is to be begun anew."""


class Log(JujuLogHandler):
    """Sends what a hook has to say to Juju in one call of juju-log, or few.

    What is less than a warning waits for the end of the hook. A log that Juju does not take is
    no reason to fail.
    """

    def __init__(self, juju: JujuLogHandler):
        """Take the place of ops' own handler."""
        super().__init__(juju.model_backend)
        self._waiting: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record, or send it with all that waits."""
        self._waiting.append(record.getMessage())
        if record.levelno >= logging.WARNING or record.exc_info:
            self._waiting.pop()
            self.flush()
            self._send(record)

    def flush(self) -> None:
        """Send what waits."""
        with self.lock or contextlib.nullcontext():
            texts, self._waiting = self._waiting, []
        if texts:
            text = "\n".join(texts)
            self._send(logging.makeLogRecord({"levelname": "INFO", "levelno": 20, "msg": text}))

    def _send(self, record: logging.LogRecord) -> None:
        try:
            super().emit(record)
        except FAILURES as e:
            print(f"juju-log: {reason_of(e)}", file=sys.stderr)


def gather_logs() -> None:
    """Put ``Log`` between the charm and ops' own handler."""
    root = logging.getLogger()
    for handler in root.handlers:
        if type(handler) is JujuLogHandler:
            root.removeHandler(handler)
            root.addHandler(Log(handler))


def note_act() -> None:
    """Remember that something was done: an action is not to do it twice."""
    _acted.append(True)


@contextlib.contextmanager
def second_chance() -> Iterator[None]:
    """Run the charm in this context for its event to end well, whatever the tools say."""
    if "JUJU_DEBUG" not in os.environ:
        # Each line would be a call of juju-log, two of ops' own in each hook.
        logging.disable(logging.DEBUG)
    try:
        yield
    except Exception as e:
        tool = tool_of(e)
        if tool is None:
            raise
        _go_on(tool, e)


def tool_of(error: BaseException) -> str | None:
    """Return the tool whose failure an error tells of; None: it is of another kind."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, hookcmds.Error):
            return cause.cmd[0]
        cause = cause.__cause__
    return None


def reason_of(error: BaseException) -> str:
    """Return what the tool said."""
    text = str(getattr(error, "stderr", "") or error).strip()
    return text.splitlines()[0].removeprefix("ERROR ") if text else "no reason given"


def is_spent(error: BaseException) -> bool:
    """Whether the tool that failed had failed in this hook before."""
    return tool_of(error) in os.environ.get(_SPENT, "").split()


def begun_with(record_kept: bool, credentials_kept: bool) -> tuple[bool, bool]:
    """Return what outlives a failure of this hook: the record and the secret that it found.

    What the hook wrote itself before it was begun anew is found as well, and does not.
    """
    first = os.environ.get(_BEGUN, f"{record_kept:d}{credentials_kept:d}")
    _begun[:] = [first]
    return first[0] == "1", first[1] == "1"


def _go_on(tool: str, error: BaseException) -> None:
    hook = os.environ.get("JUJU_DISPATCH_PATH", "")
    print(f"{hook}: {tool} failed: {reason_of(error)}", file=sys.stderr)
    is_action = hook.startswith("actions/")
    if not is_spent(error) and not (is_action and _acted):
        _begin_anew(tool)
    if is_action or hook.removeprefix("hooks/") in _ONLY_ONCE:
        # Whoever ordered an action sees this, and orders it again.
        sys.exit(1)
    look_again()


def _begin_anew(tool: str) -> NoReturn:
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os.environ[_SPENT] = f"{os.environ.get(_SPENT, '')} {tool}"
    if _begun:
        os.environ[_BEGUN] = _begun[0]
    # By this ops knows that it was called by itself.
    os.environ.pop("OPERATOR_DISPATCH", None)
    os.execv(sys.executable, [sys.executable, *sys.argv])


def look_again() -> None:
    """Have Pebble wake the charm in a moment, without Juju.

    Where no Pebble answers its own event is to come.
    """
    for container in (c.SENTINEL, c.REDIS):
        client = pebble.Client(c.PEBBLE_SOCKET.format(container))
        with contextlib.suppress(pebble.Error, OSError):
            client.start_services([c.WAKE_SERVICE], timeout=0)
            return
    # Before the first files there is no such service.
    time.sleep(c.NOTICE_PAUSE_S)
    for container in (c.SENTINEL, c.REDIS):
        client = pebble.Client(c.PEBBLE_SOCKET.format(container))
        with contextlib.suppress(pebble.Error, OSError):
            client.notify(pebble.NoticeType.CUSTOM, c.NOTICE_KEY)
            return
