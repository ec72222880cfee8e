"""Agents: from the reward tables of a video to a complete plan.

AGENTS maps a name to the class that makes the agent. What follows a slash in a name is its
setting: `greedy/alignment,same`, `margin/0.3`, `beam/32`, `oracle_constrained_greedy/5`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from segue.core.names import resolve

if TYPE_CHECKING:
    from segue.core.tables import Role
    from segue.tasks.soundtrack.agents.plan import Agent

__all__ = ["AGENTS", "ROLES", "make_agent", "role_of"]

_HERE = "segue.tasks.soundtrack.agents"

AGENTS: dict[str, str] = {
    "beam": f"{_HERE}.beam:Beam",
    "greedy": f"{_HERE}.greedy:Greedy",
    "margin": f"{_HERE}.greedy:MarginGreedy",
    "oracle_constrained_greedy": f"{_HERE}.greedy:PlannedGreedy",
    "planner": f"{_HERE}.planner:Planner",
    "policy": f"{_HERE}.policy:Policy",
    "policy-beam": f"{_HERE}.policy:PolicyBeam",
    "prior": f"{_HERE}.greedy:Similarity",
    "random": f"{_HERE}.greedy:Random",
}

ROLES: dict[str, Role] = {
    "random": "random",
    "prior": "prior",
    "greedy/alignment": "prior",
    "policy": "tuned",
    "policy-beam": "tuned",
}
"""Role of an agent in the evaluation table, by its name with or without setting; every other one is
a baseline. Retrieval by similarity alone is the prior of this task."""


def role_of(name: str) -> Role:
    """Return the role of an agent in the evaluation table."""
    return ROLES.get(name, ROLES.get(name.partition("/")[0], "baseline"))


def make_agent(name: str) -> Agent:
    """Return the agent that `name` stands for.

    Args:
        name: a key of AGENTS with an optional `/setting`, or `package.module:Thing` of your own.

    Raises:
        UnknownName: no such agent.
        ConfigError: the setting after the slash is not one that the agent knows.
    """
    base, slash, setting = name.partition("/")
    kind = resolve(AGENTS, base, "agent")
    return cast("Agent", kind(setting) if slash else kind())
