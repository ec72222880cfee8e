"""What learns to choose among the candidates of the prior.

AGENTS maps a name to a class of `agents.base.Agent`:

    next-track      orders candidates for the next track; policy gradient of drawn lists
    playlist        makes a playlist, track by track; policy gradient, starts as the planner
    actor-critic    the same, with a learned value as its baseline
    ppo             PPO or A2C in the environment, from rewards alone; starts as the prior
"""

from __future__ import annotations

__all__ = ["AGENTS"]

_HERE = "segue.tasks.playlist.agents"
AGENTS = {
    "next-track": f"{_HERE}.next_track:NextTrack",
    "playlist": f"{_HERE}.playlist:Playlist",
    "actor-critic": f"{_HERE}.playlist:ActorCritic",
    "ppo": f"{_HERE}.ppo_agent:PPOAgent",
}
"""Short name -> class."""
