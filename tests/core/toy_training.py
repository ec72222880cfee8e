"""A small training with every kind of hidden state, in a process that can be killed.

Called by test_resume.py: `python toy_training.py` reads lines `FOLDER N_STEPS PAUSE_S KILL_S` on
stdin and answers each with the process id of a fork that creates or resumes the run in FOLDER,
then, when that fork has ended, with its exit code. A fork is killed after KILL_S seconds unless
that is negative. torch is imported once, so a kill costs milliseconds.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from pydantic import Field

from segue.core.config import Config
from segue.core.run import Run
from segue.core.seeding import generator, seed_everything
from segue.rl.torch_state import from_arrays, to_arrays


class Settings(Config):
    seed: int = Field(default=3, description="seed of everything")
    every: int = Field(default=4, description="steps between checkpoints")


def train(folder: Path, n_steps: int, pause_s: float) -> None:
    """Fit a line under noise: Adam, dropout, batches from a shuffled pass over the data."""
    resume = (folder / "config.toml").exists()
    run = Run.open(folder, Settings) if resume else Run.create(folder, Settings())
    seed_everything(run.config.seed)
    data = torch.linspace(-1, 1, 50)[:, None]
    net = torch.nn.Sequential(
        torch.nn.Linear(1, 16), torch.nn.Tanh(), torch.nn.Dropout(0.3), torch.nn.Linear(16, 1)
    )
    update = torch.optim.Adam(net.parameters(), lr=0.01)
    schedule = torch.optim.lr_scheduler.ExponentialLR(update, 0.99)
    sampler = generator(run.config.seed, "sampler")
    order, position, best = sampler.permutation(50), 0, float("inf")
    if run.checkpoint:
        tree = from_arrays(run.checkpoint.arrays["torch"], run.state["layout"])
        net.load_state_dict(tree["net"])
        update.load_state_dict(tree["update"])
        schedule.load_state_dict(tree["schedule"])
        order = run.checkpoint.arrays["sampler"]["order"]
        position, best = run.state["position"], run.state["best"]
    run.restore_random({"sampler": sampler})  # last: building the network drew numbers

    with run, run.interruptible() as stop:
        for step in range(run.step + 1, n_steps + 1):
            if position + 8 > len(order):
                order, position = sampler.permutation(50), 0
            batch = data[torch.tensor(order[position : position + 8])]
            position += 8
            noise = torch.randn_like(batch) * 0.1 + float(np.random.normal()) * 0.01
            update.zero_grad()
            loss = (net(batch) - 2 * batch - noise).square().mean() + random.random() * 0
            loss.backward()
            update.step()
            schedule.step()
            run.log(step, loss=loss, draw=random.random(), batch=int(order[position - 8]))
            better = loss.item() < best
            best = min(best, loss.item())
            if stop or step % run.config.every == 0 or step == n_steps:
                state = {"net": net.state_dict(), "update": update.state_dict()}
                arrays, layout = to_arrays(state | {"schedule": schedule.state_dict()})
                run.save(
                    step,
                    {"torch": arrays, "sampler": {"order": order}},
                    {"layout": layout, "position": position, "best": best},
                    generators={"sampler": sampler},
                    best=better,
                )
            if stop:
                break
            time.sleep(pause_s)
        else:
            run.finish({"best": best})


def serve() -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:  # everything that is loaded late, once
        train(Path(folder) / "warm", 1, 0.0)
    for line in sys.stdin:
        folder, n_steps, pause_s, kill_s = line.split()
        child = os.fork()
        if child == 0:
            code = 1
            try:
                train(Path(folder), int(n_steps), float(pause_s))
                code = 0
            except SystemExit as end:
                code = int(end.code or 0)
            finally:
                sys.stderr.flush()
                os._exit(code)
        print(child, flush=True)  # noqa: T201
        if float(kill_s) >= 0:
            time.sleep(float(kill_s))
            os.kill(child, signal.SIGKILL)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)  # noqa: T201


if __name__ == "__main__":
    serve()
