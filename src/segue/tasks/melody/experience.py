"""Playing to learn: rounds of compositions, explored, paid, and kept for the replay.

A round is one composition in each environment. Random numbers come from one generator, so a run is
the same however often it is stopped between rounds.

With echoes (see `lstm`), some compositions of a round repeat themselves for a while, note by note:
a motif that returns is too rare to be found by chance.

Letters: `B` compositions, `N` notes of each, `P` notes heard before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.music.events import N_CLASSES
from segue.tasks.melody.acting import annealed, choose
from segue.tasks.melody.config import TuneConfig
from segue.tasks.melody.env import BatchedMelody
from segue.tasks.melody.lstm import Player
from segue.tasks.melody.rewards import MODES
from segue.tasks.melody.targets import pays_log_p

__all__ = ["ECHO_SHARE", "Earned", "compat_classes", "play_round"]

Array = NDArray[Any]
Ints = NDArray[np.int64]

ECHO_SHARE = 0.1
"""Of the compositions of a round repeat themselves, once random notes have become rare."""
_SHORTEST_ECHO = 8


@dataclass(frozen=True, slots=True)
class Earned:
    """Mean reward of a note in a round."""

    theory: float
    """Scaled theory terms."""
    log_p: float


def compat_classes(config: TuneConfig) -> int:
    """Return how many classes random notes come from: the original never draws the last one."""
    return N_CLASSES - 1 if config.compat == "magenta" else N_CLASSES


def play_round(
    env: BatchedMelody,
    policy: Callable[[], Player],
    config: TuneConfig,
    primers: Ints,
    done: int,
    rng: np.random.Generator,
    add: Callable[[dict[str, Array]], None],
) -> Earned:
    """Compose one piece in each environment and hand the experience on.

    Args:
        env: environments, B.
        policy: returns the network that plays; asked again after every `add`.
        config: exploration, algorithm, and what the replay holds.
        primers: [P, B] what is heard first.
        done: notes played before this round.
        rng: source of all randomness.
        add: takes rows for the replay: whole compositions once, or single steps note by note.
    """
    player = policy()
    state = player.begin(env.batch)
    for row in primers[:-1]:
        _, state = player.step(state, row)
    heard = env.reset(primers)
    echo = _Echo(config, env, done, rng)
    rewarded = pays_log_p(config.algorithm) and MODES[config.reward.mode][1]
    keeps_listener = config.compat == "magenta" and config.algorithm == "g"
    notes, rewards, chosen, log_p = [heard], [], [], [env.log_p]
    theory_sum = log_p_sum = 0.0
    for t in range(config.n_notes):
        scores, after = player.step(state, heard)
        if config.algorithm == "g":
            scores = scores + env.log_p
        action, probability = _explore(scores, config, done + t * env.batch, rng)
        action, probability = echo.follow(action, probability)
        listener = env.state
        paid = env.step(action)
        reward = paid.theory + paid.log_p if rewarded else paid.theory
        theory_sum += float(paid.theory.mean())
        log_p_sum += float(paid.log_p.mean())
        if config.replay == "steps":
            greedy = config.compat == "magenta"  # the original stores the best note, not the played
            add(
                {
                    "observation": heard.astype(np.uint8),
                    "action": (scores.argmax(axis=1) if greedy else action).astype(np.uint8),
                    "reward": reward.astype(np.float32),
                    "next_observation": action.astype(np.uint8),
                    "state": _flat(state),
                    "next_state": _flat(after),
                    "ended": np.full(env.batch, t + 1 == config.n_notes),
                    **({"next_log_p": env.log_p} if config.algorithm == "g" else {}),
                    **({"prior_state": _flat(listener)} if keeps_listener else {}),
                }
            )
            player = policy()
        state, heard = after, action
        notes.append(action)
        rewards.append(reward)
        chosen.append(probability)
        log_p.append(env.log_p)
    if config.replay == "compositions":
        rows: dict[str, Array] = {
            "observations": np.concatenate([primers[:-1], notes]).T.astype(np.uint8),
            "actions": np.array(notes[1:], dtype=np.uint8).T,
            "rewards": np.array(rewards, dtype=np.float32).T,
            "chosen": np.array(chosen, dtype=np.float32).T,
        }
        if config.algorithm == "g":
            rows["log_p"] = np.array(log_p, dtype=np.float32).transpose(1, 0, 2)
        add(rows)
    return Earned(theory_sum / config.n_notes, log_p_sum / config.n_notes)


def _explore(
    scores: NDArray[np.float32], config: TuneConfig, done: int, rng: np.random.Generator
) -> tuple[Ints, NDArray[np.float32]]:
    settings = config.exploration
    if settings.kind == "boltzmann":
        return choose(scores, rng, temperature=settings.temperature)
    epsilon = annealed(done, int(settings.period * config.steps), settings.final)
    return choose(
        scores,
        rng,
        temperature=settings.temperature,
        greedy=not settings.sampled,
        epsilon=epsilon,
        n_random=compat_classes(config),
    )


class _Echo:
    """Makes the last compositions of a round repeat what they played some steps before."""

    def __init__(
        self, config: TuneConfig, env: BatchedMelody, done: int, rng: np.random.Generator
    ) -> None:
        self._env = env
        self._count = 0
        fits = [d for d in config.echoes if d + _SHORTEST_ECHO <= config.n_notes]
        if not fits:
            return
        settings = config.exploration
        random = annealed(done, int(settings.period * config.steps), settings.final)
        self._count = int(env.batch * ECHO_SHARE * (1 - random))
        self._distance = rng.choice(fits, self._count)
        latest = config.n_notes - _SHORTEST_ECHO + 1
        self._first = rng.integers(self._distance, latest)
        self._end = self._first + rng.integers(_SHORTEST_ECHO, config.n_notes, self._count)

    def follow(
        self, action: Ints, probability: NDArray[np.float32]
    ) -> tuple[Ints, NDArray[np.float32]]:
        """Return the notes and their probabilities with the echoes in place."""
        t = self._env.compositions.beat
        if not self._count or not t:
            return action, probability
        rows = np.arange(self._env.batch - self._count, self._env.batch)
        on = (t >= self._first) & (t < self._end)
        back = np.maximum(t - self._distance, 0)
        repeated = self._env.compositions.notes[back, rows]
        action, probability = action.copy(), probability.copy()
        action[rows[on]], probability[rows[on]] = repeated[on], 1.0
        return action, probability


def _flat(state: Any) -> NDArray[np.float32]:
    """Return [B, S]: cell and hidden of each layer, side by side."""
    return np.concatenate([part for pair in state[0] for part in pair], axis=1)
