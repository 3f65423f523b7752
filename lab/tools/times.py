"""Times as hook tools take and print them."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

from lab.tools.words import ToolError

DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:h|ms|m|s))+")


def utc(moment: datetime) -> str:
    """Return a moment in UTC as Juju prints it."""
    return moment.strftime("%Y-%m-%d %H:%M:%SZ")


def rfc3339(moment: datetime) -> str:
    """Return a moment as RFC 3339 has it."""
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment_of(text: str | None) -> datetime | None:
    """Return the moment that a duration such as ``1h30m`` or an RFC 3339 time names."""
    if text is None:
        return None
    if DURATION.fullmatch(text):
        sizes = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
        parts = re.findall(r"(\d+(?:\.\d+)?)(h|ms|m|s)", text)
        seconds = sum(float(number) * sizes[size] for number, size in parts)
        return datetime.now(timezone.utc) + timedelta(seconds=seconds)
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise ToolError(f'expire time or duration "{text}" not valid') from None
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
