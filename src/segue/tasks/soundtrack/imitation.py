"""Learn the policy from the planner: cloning of its plans, and DAgger with its action values.

`clone` fits the policy to the decisions of the planner's plans. A cloned policy knows only the
states that the planner meets; where it errs it gets into others. `dagger` (Ross, Gordon and
Bagnell, "A Reduction of Imitation Learning and Structured Prediction to No-Regret Online Learning",
2011) goes on from the clone: in each round the policy plays, every state it meets is labelled with
softmax(Q / temperature) of the teacher's action values (`values`), and the policy is trained on
all data so far.

The best epoch is chosen by the mean return on validation videos. A round's data is kept as its
actions and computed again on resuming, so that checkpoints stay small and resuming is exact.

Letters: `V` videos, `T` most segments, `C` candidates.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from segue.core.config import Config
from segue.core.progress import Advance, silent
from segue.core.run import Run
from segue.core.seeding import generator, seed_everything
from segue.rl.pointer import NumpyPointer, pointer_arrays
from segue.tasks.soundtrack.agents.policy import greedy_plans
from segue.tasks.soundtrack.agents.returns import returns
from segue.tasks.soundtrack.candidates import CandidateStack, Indices, Narrow
from segue.tasks.soundtrack.demonstrations import Decisions, Teacher, plan_actions
from segue.tasks.soundtrack.models import StoredPolicy, make_network, save_policy
from segue.tasks.soundtrack.tables import Tables

if TYPE_CHECKING:
    import torch

__all__ = ["ImitationConfig", "clone", "dagger", "mean_return"]


class ImitationConfig(Config):
    """How to learn from the planner."""

    width: int = Field(64, ge=1)
    """Units of every layer of the policy."""
    n_candidates: int = Field(20, ge=4, le=1000)
    """Candidates of a segment."""
    epochs: int = Field(25, ge=1)
    """Passes over the planner's decisions."""
    batch: int = Field(512, ge=1)
    """Decisions per update."""
    learning_rate: float = Field(2e-3, gt=0)
    """Of AdamW at the start; it falls to 0 as a cosine."""
    weight_decay: float = Field(1e-2, ge=0)
    """Of AdamW."""
    round_epochs: tuple[int, ...] = (6, 6, 8)
    """Passes over all data in each round of DAgger."""
    round_learning_rate: float = Field(1e-3, gt=0)
    """At the start of each round."""
    temperature: float = Field(0.03, gt=0)
    """Of the teacher's action values, in units of reward."""
    expert_share: float = Field(0.3, ge=0, le=1)
    """Probability that the teacher decides instead of the policy in the first round."""
    tolerance: float = Field(0.1, ge=0)
    """DAgger leaves out videos on which following the teacher's action values earns less than the
    plan by more than this; the best quarter of them always stays."""
    validate_every: int = Field(5, ge=1)
    """Epochs between validations; the last epoch of a phase is always validated."""
    seed: int = Field(0, ge=0)
    """Of initial weights, order of decisions and sampled actions."""


def clone(
    run: Run[Any],
    config: ImitationConfig,
    train: Sequence[Tables],
    validation: Sequence[Tables],
    advance: Advance = silent,
    plans: Indices | None = None,
) -> dict[str, Any]:
    """Train a policy on the planner's plans and write it to the run folder.

    Args:
        run: new, or continued from a checkpoint of the same function.
        config: how.
        train: videos to plan and to learn from.
        validation: videos that the best epoch is chosen on.
        advance: called with amounts that add up to 1.
        plans: [V, T] of `plan_actions(train)`, when they are known; they are computed otherwise.

    Returns:
        What came out, as JSON-like values; also given to `run.finish`.
    """
    return _Trainer(run, config, train, validation, plans, 0, advance).train()


def dagger(
    run: Run[Any],
    config: ImitationConfig,
    train: Sequence[Tables],
    validation: Sequence[Tables],
    advance: Advance = silent,
    plans: Indices | None = None,
) -> dict[str, Any]:
    """Train as `clone` does, then with rounds of DAgger; the arguments are the same.

    The cloned policy is kept in the sub-folder `clone` of the run.
    """
    rounds = len(config.round_epochs)
    return _Trainer(run, config, train, validation, plans, rounds, advance).train()


def mean_return(stored: StoredPolicy, stack: CandidateStack) -> float:
    """Return what the policy's most probable actions earn per video."""
    plans = greedy_plans(stored, stack)
    return float(
        np.mean([returns(t, p[None])[0] for t, p in zip(stack.tables, plans, strict=True)])
    )


class _Trainer:
    """One training: data, network, optimiser and generators."""

    def __init__(
        self,
        run: Run[Any],
        config: ImitationConfig,
        train: Sequence[Tables],
        validation: Sequence[Tables],
        plans: Indices | None,
        rounds: int,
        advance: Advance,
    ) -> None:
        import torch

        torch.set_num_threads(1)  # spinning threads cost more than such small products gain
        seed_everything(config.seed)
        self._run, self._config, self._advance = run, config, advance
        self._stack = CandidateStack(train, config.n_candidates)
        self._validation = CandidateStack(validation, config.n_candidates)
        self._phases = [config.epochs, *config.round_epochs[:rounds]]
        self._network = make_network(config.width)
        self._rng = generator(config.seed, "imitation")
        self._played: list[Indices] = []  # actions of each round, [V, T]
        self._best = -np.inf
        self._best_weights: dict[str, Narrow] = {}
        tree: dict[str, Any] | None = None
        if run.checkpoint:
            from segue.rl.torch_state import from_arrays

            arrays = run.checkpoint.arrays
            tree = from_arrays(arrays["torch"], run.state["layout"])
            self._network.load_state_dict(tree["network"])
            if run.state["best"] is not None:
                self._best, self._best_weights = run.state["best"], dict(arrays["best"])
            self._plans = arrays["actions"]["plans"]
            self._played = [arrays["actions"][f"round{i}"] for i in range(run.state["played"])]
        else:
            self._plans = plan_actions(train) if plans is None else plans
        self._optimizer_state: dict[str, Any] = tree["optimizer"] if tree else {}
        self._teacher = Teacher(self._stack, self._plans)
        self._reference = self._of_plans()
        run.restore_random({"imitation": self._rng})  # nothing has been drawn that matters

    def _of_plans(self) -> float:
        """Return the mean return of the plans that are learned from."""
        tables = self._stack.tables
        plans = zip(tables, self._plans, strict=True)
        return float(np.mean([returns(t, p[None, : t.n_segments])[0] for t, p in plans]))

    def train(self) -> dict[str, Any]:
        """Train to the end or to the next interruption."""
        run, config = self._run, self._config
        with run.interruptible() as stop:
            data, skipped = self._teacher.cloned()
            played = [self._teacher.labelled(p, config.temperature) for p in self._played]
            parts, first = [data, *played], 0
            for phase, epochs in enumerate(self._phases):
                last = first + epochs
                if run.step < last:
                    if len(self._played) < phase:
                        share = config.expert_share if phase == 1 else 0.0
                        policy = NumpyPointer(pointer_arrays(self._network))
                        videos = self._trusted()
                        actions = self._teacher.play(policy, self._rng, videos, share)
                        self._played.append(actions)
                        parts.append(self._teacher.labelled(self._played[-1], config.temperature))
                    if not self._phase(phase, first, last, Decisions.joined(parts), stop):
                        return {"interrupted_at": run.step}
                if phase == 0 and run.step == last and len(self._phases) > 1:
                    self._write(run.folder / "clone", "clone", skipped)
                first = last
        return self._finish(skipped)

    def _trusted(self) -> Indices:
        """Return the videos that the teacher's action values are good enough for."""
        if self._played:
            return np.flatnonzero(self._played[0][:, 0] >= 0)
        shortfall = self._teacher.shortfall()
        least = float(np.quantile(shortfall, 0.25))  # never none at all
        return np.flatnonzero(shortfall <= max(self._config.tolerance, least))

    def _phase(self, phase: int, first: int, last: int, data: Decisions, stop: Any) -> bool:
        """Train one phase from where it is; return False when interrupted."""
        import torch

        run, config = self._run, self._config
        rate = config.round_learning_rate if phase else config.learning_rate
        optimizer = torch.optim.AdamW(
            self._network.parameters(), lr=rate, weight_decay=config.weight_decay
        )
        begun = max(run.step, first)
        if begun > first:
            optimizer.load_state_dict(self._optimizer_state)
        steps = -(-len(data) // config.batch)
        for epoch in range(begun + 1, last + 1):
            losses = []
            order = self._rng.permutation(len(data))
            for i in range(steps):
                done = ((epoch - first - 1) * steps + i) / ((last - first) * steps)
                for group in optimizer.param_groups:
                    group["lr"] = rate * 0.5 * (1 + np.cos(np.pi * done))
                rows = order[i * config.batch : (i + 1) * config.batch]
                loss = self._loss(data, rows)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                losses.append(loss.item())
            values: dict[str, float] = {}
            better = False
            if epoch == last or (epoch - first) % config.validate_every == 0:
                values["validation_return"] = score = mean_return(self._stored(), self._validation)
                better = score > self._best
                if better:
                    self._best = score
                    self._best_weights = pointer_arrays(self._network)
            run.log(epoch, phase=phase, loss=float(np.mean(losses)), n=len(data), **values)
            if stop or values or epoch == last:
                self._save(epoch, optimizer, better)
            self._advance(1 / sum(self._phases))
            if stop and epoch < sum(self._phases):
                return False
        return True

    def _loss(self, data: Decisions, rows: Indices) -> torch.Tensor:
        import torch

        tensors = [
            torch.from_numpy(array[rows])
            for array in (data.candidates, data.state, data.mask, data.prior, data.target)
        ]
        logits, _ = self._network(*tensors[:4])
        return -(tensors[4] * torch.log_softmax(logits, dim=1)).sum(dim=1).mean()

    def _stored(self) -> StoredPolicy:
        network = NumpyPointer(pointer_arrays(self._network))
        return StoredPolicy(network=network, n_candidates=self._config.n_candidates, facts={})

    def _save(self, epoch: int, optimizer: torch.optim.Optimizer, best: bool) -> None:
        from segue.rl.torch_state import to_arrays

        tree = {"network": self._network.state_dict(), "optimizer": optimizer.state_dict()}
        arrays, layout = to_arrays(tree)
        actions = {"plans": self._plans}
        actions |= {f"round{i}": played for i, played in enumerate(self._played)}
        self._run.save(
            epoch,
            {"torch": arrays, "best": self._best_weights, "actions": actions},
            {
                "layout": layout,
                "best": self._best if self._best_weights else None,
                "played": len(self._played),
            },
            generators={"imitation": self._rng},
            best=best,
        )

    def _write(self, folder: Path, method: str, skipped: int) -> dict[str, Any]:
        """Write the best policy so far and return what is known about it."""
        result = {
            "method": method,
            "validation_return": self._best,
            "train_plans_return": self._reference,
            "train_videos": self._stack.n_videos,
            "train_libraries": len(self._stack.universe),
            "validation_videos": self._validation.n_videos,
            "dagger_videos": int((self._played[0][:, 0] >= 0).sum()) if self._played else 0,
            "skipped_plans": skipped,
        }
        settings = self._config.model_dump(mode="json")
        facts = {"training": result, "settings": settings}
        save_policy(folder, self._best_weights, self._config.n_candidates, facts)
        return result

    def _finish(self, skipped: int) -> dict[str, Any]:
        method = "dagger" if len(self._phases) > 1 else "clone"
        result = self._write(self._run.folder, method, skipped)
        self._run.finish(
            result, limits=("Trained to imitate the planner of the given reward tables.",)
        )
        return result
