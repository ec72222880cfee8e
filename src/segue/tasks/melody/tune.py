"""`tune`: move the note RNN towards a reward of music theory without losing what it learned.

| `replay` | what an update sees |
|---|---|
| `compositions` | whole pieces, their recurrent states computed anew (ours, the default) |
| `steps` | single notes with the states they were played in (the paper's) |

A run is a loop of rounds: play a composition in every environment, learn as often as
`samples_per_step` asks, now and then evaluate and write a checkpoint.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from segue.core.errors import RunError
from segue.core.files import fingerprint
from segue.core.progress import Advance, silent
from segue.core.run import Run
from segue.core.seeding import generator, seed_everything
from segue.tasks.melody.config import TuneConfig
from segue.tasks.melody.env import BatchedMelody
from segue.tasks.melody.experience import compat_classes, play_round
from segue.tasks.melody.lstm import Player
from segue.tasks.melody.metrics import measure
from segue.tasks.melody.models import StoredModel, make_network, save_model
from segue.tasks.melody.play import random_primers, rule_composer
from segue.tasks.melody.primers import Priming
from segue.tasks.melody.replay import Ring
from segue.tasks.melody.rewards import TheoryReward
from segue.tasks.melody.rules import RULES

__all__ = ["PRIOR", "tune"]

PRIOR = "prior"
"""Name under which a run keeps the model that it started from."""


def tune(
    prior: StoredModel,
    run_folder: Path,
    config: TuneConfig | None = None,
    *,
    resume: bool = False,
    advance: Advance = silent,
) -> dict[str, Any]:
    """Tune a note RNN and write it to the run folder.

    Args:
        prior: what it starts from and is judged by.
        run_folder: new, or with `resume` an unfinished run.
        config: settings; of the run itself when it is resumed.
        resume: go on from the last checkpoint.
        advance: told the share of the work that is done, piece by piece.

    Returns:
        What came out, as JSON-like values; `interrupted_at` instead when it was stopped.

    Raises:
        RunError: the run cannot be made or continued, or its network has no stored states.
        UsageError: a reward term or primer cannot be used.
    """
    import torch

    torch.set_num_threads(1)  # spinning threads cost more than such small products gain
    identity = fingerprint([prior.network.model_dump(mode="json"), prior.facts.get("sha256")])
    if resume:
        with Run.open(run_folder, TuneConfig, data_hash=identity) as run:
            if not (run.folder / f"{PRIOR}.json").is_file():  # killed before it was written
                save_model(run.folder, prior.network, prior.arrays, _facts_of(prior), name=PRIOR)
            return _Tuning(run, prior, advance).run()
    config = config or TuneConfig()
    _check(prior, config)
    with Run.create(run_folder, config, data_hash=identity) as run:
        save_model(run.folder, prior.network, prior.arrays, _facts_of(prior), name=PRIOR)
        return _Tuning(run, prior, advance).run()


def _check(prior: StoredModel, config: TuneConfig) -> None:
    """Refuse what cannot be tuned before a folder is made."""
    if prior.network.kind != "lstm" and (config.replay == "steps" or config.echoes):
        raise RunError(
            f"replay of single steps, and echoes, need an lstm; this prior is {prior.network.kind}",
            where=prior.name,
            advice="Leave echoes empty and replay = 'compositions'",
        )
    TheoryReward(config.reward.term_weights(), config.reward.rules)
    Priming(config)


def _facts_of(prior: StoredModel) -> dict[str, Any]:
    return {k: v for k, v in prior.facts.items() if k not in ("format", "sha256", "network")}


class _Tuning:
    """One tuning: environments, learner, replay and generator."""

    def __init__(self, run: Run[TuneConfig], prior: StoredModel, advance: Advance) -> None:
        from segue.tasks.melody.agents import Learner

        config = run.config
        self._run, self._config, self._prior, self._advance = run, config, prior, advance
        seed_everything(config.seed)
        shape = prior.network
        if config.echoes:
            shape = shape.model_copy(update={"echoes": config.echoes})
        self._shape = shape
        online, target = make_network(shape), make_network(shape)
        for network in (online, target):
            network.load_arrays(prior.arrays)
        self._listener = prior.player()
        compat = config.compat == "magenta"
        self._learner = Learner(
            online,
            target,
            config.algorithm,
            discount=config.discount,
            target_rate=config.target_rate,
            clip=config.clip,
            trace=config.trace,
            terminal=config.terminal,
            # the original lets the gradient of G learning move the prior, too
            drifting=prior.trainable() if compat and config.algorithm == "g" else None,
        )
        reward = TheoryReward(config.reward.term_weights(), config.reward.rules)
        self._env = BatchedMelody(
            self._listener, reward, config.environments, config.n_notes, config.reward.scaler
        )
        whole = config.replay == "compositions"
        self._ring = Ring(config.capacity // config.n_notes if whole else config.capacity)
        self._priming = Priming(config)
        self._rng = generator(config.seed, "tuning")
        self._done = 0
        self._owed = 0.0
        self._evaluations = 0
        self._player: Player | None = None
        self._sums = {"theory": 0.0, "log_p": 0.0, "loss": 0.0, "target": 0.0}
        self._rounds = self._updates = 0
        if run.checkpoint:
            self._restore()
        run.restore_random({"tuning": self._rng})

    def run(self) -> dict[str, Any]:
        """Tune to the end or to the next interruption."""
        run, config = self._run, self._config
        with run.interruptible() as stop:
            if run.checkpoint is None:
                self._evaluate_and_save()
            while self._done < config.steps:
                self._round()
                due = self._done >= self._evaluations * config.evaluate_every
                if due or self._done >= config.steps:
                    self._evaluate_and_save()
                elif stop:
                    self._save()
                if stop and self._done < config.steps:
                    return {"interrupted_at": self._done}
        return self._finish()

    def _round(self) -> None:
        config, before = self._config, self._done
        done = self._done
        if config.compat == "magenta":  # its evaluations count as exploration, too
            done += self._evaluations * config.evaluate_n * config.n_notes
        primers = self._priming.draw(config.environments, self._policy, self._rng)
        earned = play_round(
            self._env, self._policy, config, primers, done, self._rng, self._learn_from
        )
        self._done += config.environments * config.n_notes
        self._sums["theory"] += earned.theory
        self._sums["log_p"] += earned.log_p
        self._rounds += 1
        self._advance(min(1.0, self._done / config.steps) - min(1.0, before / config.steps))

    def _policy(self) -> Player:
        """Return the player of the present weights."""
        if self._player is None:
            self._player = self._learner.online.player()
        return self._player

    def _learn_from(self, rows: dict[str, NDArray[Any]]) -> None:
        """Put experience into the replay and make the updates that it is worth."""
        config = self._config
        self._ring.add(rows)
        whole = config.replay == "compositions"
        notes = len(next(iter(rows.values()))) * (config.n_notes if whole else 1)
        if self._ring.size < config.batch:
            return  # what was played before there is a batch is not owed, as in the original
        worth = config.batch * (config.n_notes if whole else 1)
        self._owed += notes * config.samples_per_step / worth
        progress = min(1.0, self._done / config.steps)
        first, last = config.learning_rate, config.final_learning_rate
        self._learner.adam.rate = first + (last - first) * progress
        learn = self._learner.learn_compositions if whole else self._learner.learn_steps
        while self._owed >= 1:
            self._owed -= 1
            update = learn(self._ring.draw(config.batch, self._rng))
            self._sums["loss"] += update.loss
            self._sums["target"] += update.target
            self._updates += 1
            self._player = None
        if self._learner.drifting is not None:
            self._env.prior = self._learner.drifting.player()

    def _evaluate_and_save(self) -> None:
        config = self._config
        rng = generator(config.seed, "evaluation", self._evaluations)
        # always by the nine rules, so that runs with other weights can be compared
        composer = rule_composer(
            self._policy(), self._listener, config.algorithm, config.reward.rules
        )
        made = composer.compose(
            random_primers(config.evaluate_n, rng) % compat_classes(config), config.n_notes, rng
        )
        found = measure(made.pieces, made.mean_log_p, rules=config.reward.rules)
        if config.compat == "magenta":  # the original averages the last notes alone
            found["log_p"] = float(made.log_p[:, -1].mean())
        rounds, updates = max(self._rounds, 1), max(self._updates, 1)
        self._run.log(
            self._done,
            **{f"eval_{name}": value for name, value in found.items()},
            train_theory=self._sums["theory"] / rounds,
            train_log_p=self._sums["log_p"] / rounds,
            loss=self._sums["loss"] / updates,
            target=self._sums["target"] / updates,
            updates=self._updates,
        )
        self._sums = dict.fromkeys(self._sums, 0.0)
        self._rounds = self._updates = 0
        self._evaluations += 1
        self._save()

    def _save(self) -> None:
        from segue.rl.torch_state import to_arrays

        arrays, layout = to_arrays(self._learner.state())
        state = {
            "layout": layout,
            "done": self._done,
            "owed": self._owed,
            "evaluations": self._evaluations,
            "position": self._ring.position,
            "sums": self._sums,
            "rounds": self._rounds,
            "updates": self._updates,
        }
        self._run.save(
            self._done,
            {"torch": arrays, "replay": self._ring.arrays()},
            state,
            generators={"tuning": self._rng},
        )

    def _restore(self) -> None:
        from segue.rl.torch_state import from_arrays

        checkpoint, state = self._run.checkpoint, self._run.state
        assert checkpoint is not None
        self._learner.load_state(from_arrays(checkpoint.arrays["torch"], state["layout"]))
        self._ring.load(checkpoint.arrays["replay"], state["position"])
        self._done, self._owed = state["done"], state["owed"]
        self._evaluations, self._sums = state["evaluations"], dict(state["sums"])
        self._rounds, self._updates = state["rounds"], state["updates"]
        if self._learner.drifting is not None:
            self._env.prior = self._learner.drifting.player()

    def _finish(self) -> dict[str, Any]:
        run, config = self._run, self._config
        lines = run.metrics()
        result = {
            "algorithm": config.algorithm,
            "notes": self._done,
            "first": _plain(lines[0]),
            "last": _plain(lines[-1]),
        }
        facts = {
            "algorithm": config.algorithm,
            "prior_sha256": self._prior.facts.get("sha256", ""),
            "n_notes": config.n_notes,
            "rules": config.reward.rules.model_dump(mode="json"),
            "settings": config.model_dump(mode="json"),
            "training": result,
        }
        save_model(run.folder, self._shape, self._learner.online.arrays(), facts)
        from segue.tasks.melody.figures import draw_curves

        draw_curves(run.folder / "figures" / "reward.png", lines, config.n_notes)
        run.finish(result, limits=_LIMITS)
        return result


_LIMITS = (
    f"Tuned for pieces of the length in the configuration and the {len(RULES)} rules of RL Tuner, "
    "which are a caricature of taste.",
    "Seeds differ: judge a recipe by several of them.",
)


def _plain(line: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in line.items() if isinstance(v, int | float | str)}
