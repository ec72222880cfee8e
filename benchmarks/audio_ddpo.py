"""DDPO on a tiny AudioLDM2 beside a plain loop in the manner of ddpo-pytorch, on one thread.

    OMP_NUM_THREADS=1 python benchmarks/audio_ddpo.py [speed|memory|reward] [--quick]

| what | goal |
|---|---|
| clips per CPU second, same mathematics | 1.5 x the peer's |
| CPU seconds to equal reward, learning from a share of the steps | 3 x less |
| peak memory, rank 8, batch 16 | 1.4 GB |

Both have the same network (1.69 million weights, latents 8 x 64 x 16), noise, guidance inside the
policy, batch of 16 clips and one update an epoch. The peer plays, then learns step by step. Ours
gathers gradients while it plays (`segue.tasks.audio.onpolicy`); a test shows that they are those of
the loss. The reward is the mean of the clean latents: the network was never trained, so it says
nothing about music, only how fast each of them climbs.

For time to equal reward each side has a learning rate of its own; `--choose` tries some on seed 0,
which is not among those reported. The seed draws the adapter and the noise; the network stays. The
goal is counted in deviations between clips of the untrained policy. Ours learns from the first step
alone (`update.first_steps`), which spares half of an epoch's work. On seed 0, at 1e-2, 3e-2 and
1e-1, ours came there in 14, 7 and 6 epochs, the peer in 19, 10 and 4; above 1e-2 the reward swings
by ten deviations from epoch to epoch, and who arrives first is luck. So both have 1e-2.

`segue audio tune` gathers as well, by itself, for an AudioLDM2 in float32 if an epoch has one plain
update: update.objective "ddpo", batch = sample.prompts x sample.per_prompt, inner_epochs 1,
base_penalty 0, density "weighted" or "mean", fraction 1 (a window may be set), temperature 1;
precision "float32"; and an adapter small enough that a copy for each clip of the process takes at
most 1 GiB (rank 8 of the published model: 91 clips). With other settings, among them its defaults
and the presets "seed" and "ddpo", it plays first and learns then, as the peer does, and figures of
`ours` say nothing of it.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.audio_ddpo_peer import Peer
from segue.tasks.audio.models.audioldm2 import AudioLDM2Denoiser
from segue.tasks.audio.models.base import join
from segue.tasks.audio.onpolicy import play_and_gather
from segue.tasks.audio.sampling import prompting
from tests.tasks.audio import tiny_audioldm2

N, RANK, GUIDANCE, AGAINST = 16, 8, 3.5, "low quality"
SIDES = ("ours", "peer")
TEXTS = ["a happy piano", "an angry guitar", "a sad violin", "a tender song"] * 4


class Ours:
    """The same loop with gradients gathered while clips are played."""

    def __init__(self, model: AudioLDM2Denoiser, steps: int, rate: float, together: int) -> None:
        self.model, self.steps, self.together = model, steps, together
        self.weights = model.adapter()
        self.adam = torch.optim.AdamW(list(self.weights.values()), lr=rate, weight_decay=1e-4)

    def epoch(self, asked: Any, shape: tuple[int, ...], seeds: list[int], trained: Any) -> float:
        """Play and learn; returns the mean reward."""
        played = play_and_gather(
            self.model, asked, shape, self.steps, 1.0, seeds, trained, batch=self.together
        )
        rewards = paid(played.clean)
        for name, gradient in played.loss_gradient(advantages(rewards)).items():
            self.weights[name].grad = gradient
        torch.nn.utils.clip_grad_norm_(list(self.weights.values()), 1.0)
        self.adam.step()
        return float(rewards.mean())


class Match:
    """Both loops from the same beginning."""

    def __init__(
        self, steps: int, seconds: float, rate: float, together: int, seed: int = 0
    ) -> None:
        torch.set_num_threads(1)
        torch.manual_seed(seed)
        parts = tiny_audioldm2.components(channels=(32, 64))
        self.peer = Peer(
            copy.deepcopy(parts["unet"]), parts["scheduler"], steps, GUIDANCE, rate, rank=RANK
        )
        model = AudioLDM2Denoiser(parts)
        model.add_adapter(RANK, float(RANK), seed=seed)
        self.peer.begin({name: w.detach() for name, w in model.adapter().items()})
        self.ours = Ours(model, steps, rate, together)
        self.asked = prompting(model, TEXTS, GUIDANCE, AGAINST)
        assert self.asked.negative is not None
        self.heard = join([self.asked.negative, self.asked.positive])
        self.shape, self.steps = model.latent_shape(seconds), steps

    def peer_epoch(self, seeds: list[int]) -> float:
        """Play and learn as ddpo-pytorch does."""
        record = self.peer.play(self.heard, self.shape, seeds)
        rewards = paid(record.latents[:, -1])
        self.peer.learn(record, advantages(rewards), N)
        return float(rewards.mean())

    def our_epoch(self, seeds: list[int], trained: Any = None) -> float:
        """Play and learn at once."""
        chosen = range(self.steps) if trained is None else trained
        return self.ours.epoch(self.asked, self.shape, seeds, chosen)


def paid(latents: torch.Tensor) -> torch.Tensor:
    """Return the reward of clips, [n]."""
    return latents.mean(dim=(1, 2, 3))


def advantages(rewards: torch.Tensor) -> torch.Tensor:
    """Return the advantages, [n]."""
    return ((rewards - rewards.mean()) / (rewards.std() + 1e-8)).clamp(-5, 5)


def cpu_seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """Return the CPU seconds of a piece of work, and its result."""
    started = time.process_time()
    result = work()
    return time.process_time() - started, result


def speed(options: argparse.Namespace) -> None:
    """Compare clips per CPU second, in turn; 20 steps are counted as a clip's."""
    match = Match(options.steps, options.seconds, 0.0, options.together)
    times: dict[str, list[float]] = {"peer": [], "ours": [], "share": []}
    few = max(1, options.steps // 5)
    for turn in range(options.repeats):
        seeds = list(range(turn * N, turn * N + N))
        times["peer"].append(cpu_seconds(lambda seeds=seeds: match.peer_epoch(seeds))[0])
        times["ours"].append(cpu_seconds(lambda seeds=seeds: match.our_epoch(seeds))[0])
        some = range(few)
        work = lambda seeds=seeds, some=some: match.our_epoch(seeds, some)  # noqa: E731
        times["share"].append(cpu_seconds(work)[0])
    for name, found in times.items():
        middle = statistics.median(found)
        rates = sorted(N / t * options.steps / 20 for t in found)
        ratio = statistics.median(p / t for p, t in zip(times["peer"], found, strict=True))
        print(
            f"{name:6s} {N / middle * options.steps / 20:7.3f} clips of 20 steps / CPU s "
            f"({rates[0]:.3f} to {rates[-1]:.3f})   {ratio:.2f} x peer"
        )


def memory(options: argparse.Namespace) -> None:
    """Compare peak memory, each in a process of its own."""
    for name in ("none", "peer", "ours"):
        command = [sys.executable, __file__, f"memory-{name}", "--together", str(options.together)]
        done = subprocess.run(
            command, capture_output=True, text=True, check=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        print(f"{name:6s} {json.loads(done.stdout)['peak'] / 1e9:6.2f} GB at most")


def memory_of(name: str, options: argparse.Namespace) -> None:
    """Run one epoch of 2 steps at full size and print the peak."""
    match = Match(2, 2.56, 0.0, options.together)
    seeds = list(range(N))
    if name != "none":
        (match.peer_epoch if name == "peer" else match.our_epoch)(seeds)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"peak": peak}))


def reward(options: argparse.Namespace) -> None:
    """Compare CPU seconds until the reward has risen as far, over seeds; or choose the rates."""
    print(f"{window(options)} of {options.reward_steps} steps; goal +{options.rise} deviations")
    if options.choose:
        for side in SIDES:
            most = options.epochs
            for rate in options.grid:
                climb = climbed(options, side, 0, rate, most)
                print(f"{side} {rate:g}: {climb}", flush=True)
                most = climb.epochs if climb.reached else most
        return
    ratios, lengths = [], []
    for seed in options.seeds:
        found = {}
        for side, rate in zip(SIDES, (options.rate, options.peer_rate), strict=True):
            found[side] = climbed(options, side, seed, rate, options.epochs)
            print(f"seed {seed}, {side} at {rate:g}: {found[side]}", flush=True)
        ours, peer = found["ours"], found["peer"]
        if not ours.reached:
            print(f"seed {seed}: ours does not get there", flush=True)
            ratios.append(0.0)
            continue
        ratios.append(peer.spent / ours.spent)
        lengths.append(peer.epochs / ours.epochs)
        bound = "" if peer.reached else "more than "
        print(f"seed {seed}: ratio {bound}{ratios[-1]:.2f}", flush=True)
    print(
        f"ratio  {statistics.median(ratios):.2f} (median; {min(ratios):.2f} to {max(ratios):.2f})"
    )
    if lengths:
        print(f"of epochs alone {statistics.median(lengths):.2f}")


def window(options: argparse.Namespace) -> range:
    """Return the steps that ours learns from: the first, as `update.first_steps` says."""
    return range(max(1, round(options.reward_steps * options.share)))


@dataclass
class Climb:
    """How one of them came to the goal."""

    spent: float
    """CPU seconds."""
    earned: list[float]
    """Mean reward of each epoch, in deviations of clips above the untrained policy."""
    reached: bool

    @property
    def epochs(self) -> int:
        """How many were played."""
        return len(self.earned)

    def __str__(self) -> str:
        told = " ".join(f"{value:.2f}" for value in self.earned)
        there = "" if self.reached else " without getting there"
        return f"{self.spent:.1f} CPU s, {self.epochs} epochs{there}: {told}"


def climbed(options: argparse.Namespace, side: str, seed: int, rate: float, most: int) -> Climb:
    """Tune until the mean of three epochs has reached the goal, or for `most` epochs.

    The untrained policy plays four batches first, for its mean reward and the deviation between
    clips; these seconds are not counted.
    """
    match = Match(options.reward_steps, options.reward_seconds, rate, options.together, seed)
    epoch = match.peer_epoch
    if side == "ours":
        epoch = lambda seeds: match.our_epoch(seeds, window(options))  # noqa: E731
    first = 1_000_000 * (seed + 1)
    records = [match.peer.play(match.heard, match.shape, clips(first - N * k)) for k in range(1, 5)]
    before = torch.cat([paid(record.latents[:, -1]) for record in records])
    base, spread = float(before.mean()), float(before.std())
    climb = Climb(0.0, [], False)
    for number in range(most):
        seeds = clips(first + N * number)
        took, mean = cpu_seconds(lambda seeds=seeds: epoch(seeds))
        climb.spent += took
        climb.earned.append((mean - base) / spread)
        climb.reached = number >= 2 and statistics.mean(climb.earned[-3:]) >= options.rise
        if climb.reached:
            break
    return climb


def clips(first: int) -> list[int]:
    """Return the seeds of a batch."""
    return list(range(first, first + N))


def main() -> None:
    """Run what is asked for, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="?", default="all")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.56)
    parser.add_argument("--together", type=int, default=8, help="clips that ours plays together")
    climbing = parser.add_argument_group("reward")
    climbing.add_argument("--reward-seconds", type=float, default=0.32, help="length of its clips")
    climbing.add_argument("--reward-steps", type=int, default=10)
    climbing.add_argument("--share", type=float, default=0.1, help="of the steps, the first")
    climbing.add_argument("--rate", type=float, default=1e-2, help="of ours")
    climbing.add_argument("--peer-rate", type=float, default=1e-2)
    climbing.add_argument("--rise", type=float, default=2.0, help="in deviations between clips")
    climbing.add_argument("--epochs", type=int, default=40, help="at most")
    climbing.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    climbing.add_argument("--choose", action="store_true", help="try the rates on seed 0 instead")
    climbing.add_argument("--grid", type=float, nargs="+", default=[1e-2, 3e-2, 3e-3, 1e-3])
    parser.add_argument("--quick", action="store_true", help="the speed alone, of one second")
    options = parser.parse_args()
    if options.quick:
        options.what, options.seconds, options.steps, options.repeats = "speed", 0.64, 3, 2
    if options.what.startswith("memory-"):
        memory_of(options.what.removeprefix("memory-"), options)
        return
    for name, run in (("speed", speed), ("memory", memory), ("reward", reward)):
        if options.what in ("all", name):
            print(f"-- {name}", flush=True)
            run(options)


if __name__ == "__main__":
    main()
