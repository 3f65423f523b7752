"""A unit's agent: it runs the unit's hooks one at a time, and ends and restarts its pod.

One thread a unit. It waits on the model until the resolver names a hook, runs the charm's
dispatch in the pod's ``charm`` container, and answers the hook tools while dispatch runs.
"""

from lab.agent.agent import Agent
from lab.agent.environment import SYSTEM_PATH

__all__ = ["SYSTEM_PATH", "Agent"]
