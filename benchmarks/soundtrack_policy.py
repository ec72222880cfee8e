"""Learned soundtrack policies on videos and libraries that they have never seen.

    OMP_NUM_THREADS=1 python benchmarks/soundtrack_policy.py train    [--seeds 5] [--runs FOLDER]
    OMP_NUM_THREADS=1 python benchmarks/soundtrack_policy.py evaluate [--out FILE] [--runs FOLDER]
        [--ppo FOLDER,FOLDER,...]

`train` makes one run of DAgger per seed (each also leaves its cloned policy) on 60 libraries with
20 videos each, chosen on 12 libraries with 8 videos each. `evaluate` plays 20 other libraries with
10 other videos each, and 8 libraries with 10 videos of every shifted setting, beside the agents
that learn nothing. Mode test, switch target unknown (its expectation is scored), as in training.

share = (mean R - mean random) / (mean optimum - mean random): random is the mean of 5 uniform plans
for each video, optimum the planner's plan (its own upper bound is printed beside it). Intervals are
paired bootstraps over videos, 2,000 draws of the whole ratio.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.core.files import read_json, write_json
from segue.core.run import Run
from segue.tasks.soundtrack.agents import make_agent
from segue.tasks.soundtrack.agents.plan import Agent
from segue.tasks.soundtrack.demonstrations import plan_actions
from segue.tasks.soundtrack.generator import draw_tables, preset
from segue.tasks.soundtrack.imitation import ImitationConfig, dagger
from segue.tasks.soundtrack.models import load_policy, shipped_policy
from segue.tasks.soundtrack.tables import Tables

Floats = NDArray[np.float64]

WORLD = 7
"""Seed of the problems; the libraries of train, validation and test are different ones."""
SETS = (
    ("benchmark", 20),
    ("easy", 8),
    ("full-spread", 8),
    ("hardest", 8),
    ("target-3.4", 8),
    ("target-4.3", 8),
    ("product", 16),
)
"""(preset, test libraries with 10 videos each)."""
PLAIN = ("greedy/alignment", "greedy", "margin", "beam/8", "beam/32", "beam/128")


@dataclass
class Result:
    """All agents on one set of videos."""

    returns: dict[str, Floats] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    switches: dict[str, float] = field(default_factory=dict)
    random: Floats = field(default_factory=lambda: np.zeros(0))
    bound: float = 0.0
    n: int = 0

    def share(self, agent: str) -> float:
        """Return the share of an agent."""
        return float((self.returns[agent] - self.random).mean() / self.reach.mean())

    @property
    def reach(self) -> Floats:
        """[n] the range that shares are a part of."""
        return self.returns["planner"] - self.random


def train(options: argparse.Namespace) -> None:
    """Train one run per seed; a run that exists is continued or left alone."""
    tables = draw_tables(preset("benchmark"), WORLD, "train", 60, 20)
    validation = draw_tables(preset("benchmark"), WORLD, "validation", 12, 8)
    plans = plan_actions(tables)
    for seed in range(options.seeds):
        folder = options.runs / f"dagger-{seed}"
        if (folder / "result.json").is_file():
            continue
        config = ImitationConfig(seed=seed)
        started = time.process_time()
        exists = (folder / "config.toml").is_file()
        run = Run.open(folder, ImitationConfig) if exists else Run.create(folder, config)
        with run:
            result = dagger(run, config, tables, validation, plans=plans)
        print(seed, f"{time.process_time() - started:.0f} CPU s without planning", result)


def play(agents: dict[str, Agent], tables: list[Tables], known: dict[str, Any]) -> Result:
    """Let every agent plan every video.

    Args:
        agents: label -> agent.
        tables: the videos.
        known: what was computed before, by label and weights; filled in here.
    """
    result = Result(n=len(tables))
    rng = np.random.default_rng(0)
    random = make_agent("random")
    result.random = np.array(
        [np.mean([random.plan(t, rng).return_ for _ in range(5)]) for t in tables]
    )
    for name, agent in agents.items():
        key = f"{name} {_hash_of(name)}"
        if key not in known:
            started = time.process_time()
            plans = [agent.plan(t, rng) for t in tables]
            bounds = [plan.upper_bound for plan in plans if plan.upper_bound is not None]
            known[key] = {
                "seconds": (time.process_time() - started) / len(tables),
                "returns": [plan.return_ for plan in plans],
                "switches": float(np.mean([plan.switches for plan in plans])),
                "bound": float(np.mean(bounds)) if bounds else None,
            }
        facts = known[key]
        result.seconds[name], result.switches[name] = facts["seconds"], facts["switches"]
        result.returns[name] = np.array(facts["returns"])
        result.bound = facts["bound"] or result.bound
    return result


def _hash_of(label: str) -> str:
    """Return the hash of the weights that an agent uses, empty without any."""
    if label.startswith("shipped"):
        return str(shipped_policy().facts["sha256"])
    folder = label.partition(", ")[2]
    return str(load_policy(Path(folder)).facts["sha256"]) if folder else ""


def evaluate(options: argparse.Namespace) -> None:
    """Evaluate everything and write the page."""
    agents: dict[str, Agent] = {name: make_agent(name) for name in (*PLAIN, "planner")}
    kinds: dict[str, list[str]] = {}
    for run in sorted(options.runs.glob("dagger-*")):
        for kind, folder in (("clone", run / "clone"), ("DAgger", run)):
            _add(agents, kinds, kind, folder)
    for folder in options.ppo:
        _add(agents, kinds, "PPO", folder)
    agents["shipped"] = make_agent("policy")
    agents["shipped + beam 8"] = make_agent("policy-beam/8")
    for kind in ("shipped", "shipped + beam 8"):
        kinds[kind] = [kind]

    results = {}
    cache = options.runs / "results.json"  # delete it to compute everything again
    known: dict[str, Any] = read_json(cache) if cache.is_file() else {}
    again = {n for kind, names in kinds.items() if "beam" in kind for n in names[1:]}
    for name, n_libraries in SETS:
        tables = draw_tables(preset(name), WORLD, "test", n_libraries, 10)
        if name != "benchmark":  # beams of the first seed only: they are all alike
            agents = {label: agent for label, agent in agents.items() if label not in again}
        results[name] = play(agents, tables, known.setdefault(name, {}))
        write_json(cache, known)
        print(name, {a: round(results[name].share(a), 4) for a in agents}, flush=True)
    text = _page(results, kinds, options)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(text, encoding="utf-8")
    print(text)


def _add(agents: dict[str, Agent], kinds: dict[str, list[str]], kind: str, folder: Path) -> None:
    for label, agent in ((kind, "policy"), (f"{kind} + beam 8", "policy-beam/8")):
        kinds.setdefault(label, []).append(f"{label}, {folder}")
        agents[kinds[label][-1]] = make_agent(f"{agent}/{folder}")


def _page(
    results: dict[str, Result], kinds: dict[str, list[str]], options: argparse.Namespace
) -> str:
    main = results["benchmark"]
    lines = [
        "# Soundtrack: learned policies on unseen videos and libraries",
        "",
        "All problems here are synthetic (`segue.tasks.soundtrack.generator`): the shares say",
        "how well an agent maximises the reward, nothing about taste.",
        "",
        "```",
        f"python benchmarks/soundtrack_policy.py train --seeds {len(kinds.get('clone', []))}",
        "python benchmarks/soundtrack_policy.py evaluate",
        "```",
        "",
        "`clone` imitates the planner's plans, `DAgger` goes on from there with the planner's",
        "action values on its own states, `shipped` is the policy of the package (DAgger on a",
        "mixture, `python benchmarks/soundtrack_weights.py`); `+ beam 8` keeps eight beginnings by",
        "probability and hands out the best complete plan by reward.",
        "",
        f"Preset `benchmark`, world seed {WORLD}: 60 libraries x 20 videos to train on, 12 x 8 to",
        f"choose on, {main.n} videos of 20 other libraries to test on. Mode test; the",
        "switch target is not known to anybody, the switch term is its expectation.",
        "share = (R - random) / (optimum - random) of the means over videos; 95 % intervals by",
        f"paired bootstrap of the ratio over videos. Random {main.random.mean():.2f}, optimum",
        f"(planner's plan) {main.returns['planner'].mean():.3f}, its upper bound {main.bound:.3f}.",
        "",
        "| agent | seeds | share, each seed | share [95 %] | minus greedy | minus margin .2 |"
        " minus beam 8 | regret | switches | CPU ms per video |",
        "|---|---|---|---|---|---|---|---|---|---|",
        _row("random", [], main),
    ]
    lines += [_row(name, [name], main) for name in PLAIN]
    lines += [_row(kind, names, main) for kind, names in kinds.items()]
    lines += [_row("planner", ["planner"], main), ""]
    if "clone" in kinds:
        for a, b in (("DAgger", "clone"), ("PPO", "clone"), ("PPO", "DAgger")):
            if a in kinds:
                difference = _mean(kinds[a], main) - _mean(kinds[b], main)
                lines.append(f"{a} minus {b}: {_interval(difference, main)}.")
        lines.append("")
    lines += [
        "## Shifted settings",
        "",
        "Policies trained on `benchmark` alone, without further training (mean over seeds, the",
        "smallest in brackets); `shipped` was trained on a mixture of all of these settings, with",
        "other libraries and videos in other spaces. 8 libraries x 10 videos each, `product` 16 x",
        "10. A policy with a beam is that of the first seed.",
        "",
    ]
    columns = ["greedy", "margin", "beam/8", "beam/128", *kinds]
    lines.append("| set | " + " | ".join(_label(c) for c in columns) + " |")
    lines.append("|---" * (len(columns) + 1) + "|")
    for name, result in results.items():
        cells = []
        for column in columns:
            names = [n for n in kinds.get(column, [column]) if n in result.returns]
            shares = [result.share(n) for n in names]
            least = f" ({min(shares):.3f})" if len(shares) > 1 else ""
            cells.append(f"{np.mean(shares):.3f}{least}")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _row(label: str, names: list[str], result: Result) -> str:
    if not names:
        return f"| random | | | 0 | | | | {result.reach.mean():.2f} | | |"
    shares = [result.share(name) for name in names]
    mean = _mean(names, result)
    cells = [
        _label(label),
        str(len(names)) if len(names) > 1 else "",
        ", ".join(f"{share:.4f}" for share in shares) if len(names) > 1 else "",
        _interval(mean - result.random, result),
    ]
    for other in ("greedy", "margin", "beam/8"):
        gain = mean - result.returns[other]
        cells.append("" if label == other else _interval(gain, result))
    regret = np.mean([result.returns["planner"] - result.returns[name] for name in names])
    cells += [
        f"{regret:.3f}",
        f"{np.mean([result.switches[name] for name in names]):.1f}",
        f"{1000 * np.mean([result.seconds[name] for name in names]):.1f}",
    ]
    return "| " + " | ".join(cells) + " |"


def _mean(names: list[str], result: Result) -> Floats:
    """Return the return of each video, the mean over seeds."""
    return np.asarray(np.mean([result.returns[name] for name in names], axis=0))


def _interval(gains: Floats, result: Result) -> str:
    """Return mean gain / mean reach with the interval of the ratio."""
    rows = np.random.default_rng(0).integers(result.n, size=(2000, result.n))
    ratios = gains[rows].mean(axis=1) / result.reach[rows].mean(axis=1)
    low, high = np.quantile(ratios, [0.025, 0.975])
    return f"{gains.mean() / result.reach.mean():.4f} [{low:.4f}, {high:.4f}]"


def _label(name: str) -> str:
    return {
        "greedy/alignment": "prior: similarity only",
        "margin": "greedy, margin .2",
        "beam/8": "beam 8",
        "beam/32": "beam 32",
        "beam/128": "beam 128",
    }.get(name, name)


def main() -> None:
    """Train or evaluate."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["train", "evaluate"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--runs", type=Path, default=Path("runs/soundtrack-policy"))
    parser.add_argument("--out", type=Path, default=Path("docs/results/soundtrack_policy.md"))
    parser.add_argument(
        "--ppo", type=lambda text: [Path(part) for part in text.split(",") if part], default=[]
    )
    options = parser.parse_args()
    train(options) if options.what == "train" else evaluate(options)


if __name__ == "__main__":
    main()
