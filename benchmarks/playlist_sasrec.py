"""SASRec: CPU seconds of an epoch beside RecTools, one query, and what it reaches on real data.

    OMP_NUM_THREADS=1 python benchmarks/playlist_sasrec.py speed --data DIR [--peer-python FILE]
    OMP_NUM_THREADS=1 python benchmarks/playlist_sasrec.py latency --data DIR
    OMP_NUM_THREADS=1 python benchmarks/playlist_sasrec.py quality --data DIR --set lastfm

DIR holds nowplaying_sessions.tsv.gz (session_id, split, track_ids) and
lastfm_hetrec_sequences.tsv.gz (user_id, artist_ids), both with numbers from 1.

`speed` trains the same network on the same sessions in turn, each in a process of its own with one
thread: 64 numbers, 2 blocks, 2 heads, dropout 0.2, Adam 1e-3, 128 sessions (segue: as many targets)
an update. CPU seconds are user and system of an epoch after the first.
RecTools is optional: `python -m venv peer && peer/bin/pip install "rectools[torch]"`, then
`--peer-python peer/bin/python`; without it only segue is measured.

`quality` fits on everything but the last tracks and ranks them among all tracks.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from segue.tasks.playlist.models.sasrec import SASRec
from segue.tasks.playlist.models.sasrec_config import SASREC_PRESETS, SASRecConfig
from segue.tasks.playlist.protocol import questions
from segue.tasks.playlist.sessions import Sessions

N_TRACKS = {"nowplaying": 60_416, "lastfm": 3_646}
NEWEST = 16_000
"""Sessions of the small set for `speed`."""
EQUAL = {
    "dimension": 64, "heads": 2, "dropout": 0.2, "attention_dropout": 0.2, "learning_rate": 1e-3,
    "positions": "learned", "output": "dot", "start": "random", "zero_blocks": False,
    "again": False,
    "windows": "newest", "schedule": "constant", "betas": [0.9, 0.98], "clip": 0.0,
}  # fmt: skip
CASES: dict[str, dict[str, Any]] = {
    "nowplaying small, sampled softmax, 64 negatives for each target": {
        "set": "nowplaying", "peer": "sampled_softmax", "length": 30, "loss": "sampled_softmax",
        "negatives": 64, "shared": False, "negative_power": 0.0, "log_q": False,
    },
    "the same, 64 negatives for the batch": {
        "set": "nowplaying", "peer": None, "length": 30, "loss": "sampled_softmax",
        "negatives": 64, "shared": True, "negative_power": 0.0, "log_q": False,
    },
    "nowplaying small, gBCE, 128 negatives for each target": {
        "set": "nowplaying", "peer": "gBCE", "length": 20, "loss": "gbce",
        "negatives": 128, "shared": False, "negative_power": 0.0,
    },
    "lastfm, softmax over all": {
        "set": "lastfm", "peer": "softmax", "length": 50, "loss": "softmax", "negatives": 1,
    },
}  # fmt: skip

PEER = """
import json, os, sys, time, warnings
warnings.simplefilter("ignore")
import numpy as np, pandas as pd, torch
torch.set_num_threads(1)
from pytorch_lightning import Callback, Trainer
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import SASRecModel
job = json.load(sys.stdin)
flat, lengths = np.array(job["tracks"]), np.array(job["lengths"])
users = np.repeat(np.arange(len(lengths)), lengths)
frame = pd.DataFrame({Columns.User: users, Columns.Item: flat, Columns.Weight: 1.0,
    Columns.Datetime: pd.Timestamp("2020-01-01") + pd.to_timedelta(np.arange(len(flat)), unit="s")})
dataset = Dataset.construct(frame)
ends, steps = [], []
class Clock(Callback):
    def on_train_epoch_end(self, trainer, module):
        ends.append(time.process_time())
        steps.append(trainer.global_step)
def trainer():
    return Trainer(max_epochs=job["epochs"], min_epochs=job["epochs"], callbacks=[Clock()],
        logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, accelerator="cpu", devices=1)
torch.manual_seed(0)
SASRecModel(n_blocks=2, n_heads=2, n_factors=64, dropout_rate=0.2, lr=1e-3,
    session_max_len=job["length"], batch_size=128, loss=job["peer"], n_negatives=job["negatives"],
    train_min_user_interactions=2, get_trainer_func=trainer).fit(dataset)
print(json.dumps([(ends[-1] - ends[0]) / (len(ends) - 1), steps[0]]))
"""


def read(folder: Path, name: str) -> dict[str, Sessions]:
    """Return the sessions of a set, by part."""
    file = "nowplaying_sessions" if name == "nowplaying" else "lastfm_hetrec_sequences"
    found: dict[str, list[list[int]]] = {}
    with gzip.open(folder / f"{file}.tsv.gz", "rt", encoding="utf-8") as lines:
        next(lines)
        for line in lines:
            *head, tracks = line.rstrip("\n").split("\t")
            part = head[1] if name == "nowplaying" else "all"
            found.setdefault(part, []).append([int(track) - 1 for track in tracks.split()])
    return {part: Sessions.from_lists(lists) for part, lists in found.items()}


def small(folder: Path, name: str) -> Sessions:
    """Return what `speed` trains on."""
    sessions = read(folder, name)
    if name == "nowplaying":
        train = sessions["train"]
        return train.part(len(train) - NEWEST, len(train))
    every = sessions["all"]
    return every.prefixes(np.arange(len(every)), every.lengths - 1)


def settings(case: dict[str, Any], sessions: Sessions, epochs: int) -> SASRecConfig:
    """Return segue's settings of a case: as many updates an epoch as batches of 128 sessions."""
    targets = np.minimum(sessions.lengths - 1, case["length"]).sum()
    batch = int(targets // -(-len(sessions) // 128))
    own = {key: value for key, value in case.items() if key not in ("set", "peer")}
    return SASRecConfig.parse(EQUAL | own | {"batch": batch, "epochs": epochs})


def epoch_of_segue(case: dict[str, Any], sessions: Sessions, epochs: int) -> tuple[float, int]:
    """Return CPU seconds of an epoch after the first one, and its updates."""
    ends_s: list[float] = []
    SASRec(settings(case, sessions, epochs)).fit(
        sessions, N_TRACKS[case["set"]], advance=lambda done: ends_s.append(time.process_time())
    )
    updates = len(ends_s) // epochs
    return (ends_s[-1] - ends_s[updates - 1]) / (epochs - 1), updates


def epoch_of_peer(
    python: Path, case: dict[str, Any], sessions: Sessions, epochs: int
) -> tuple[float, int]:
    """Return the same of RecTools."""
    job = {
        "tracks": sessions.tracks.tolist(), "lengths": sessions.lengths.tolist(),
        "length": case["length"], "peer": case["peer"], "negatives": case["negatives"],
        "epochs": epochs,
    }  # fmt: skip
    done = subprocess.run(
        [python, "-c", PEER], input=json.dumps(job), capture_output=True, text=True, check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    if done.returncode:
        sys.exit(f"RecTools failed: {done.stderr.strip().splitlines()[-1]}")
    spent_s, updates = json.loads(done.stdout.strip().splitlines()[-1])
    return float(spent_s), int(updates)


def speed(options: argparse.Namespace) -> None:
    """Measure epochs and print CPU seconds."""
    if options.epochs < 2:
        sys.exit("--epochs must be at least 2: the first one is not measured")
    if options.peer_python is None or not options.peer_python.exists():
        print("RecTools is not measured: give --peer-python; see the head of this file")
        options.peer_python = None
    print("| what | updates | segue, CPU s | RecTools, updates | CPU s | share |")
    print("|---|---|---|---|---|---|")
    peer: tuple[float, int] | None = None
    for name, case in CASES.items():
        if options.cases not in name:
            continue
        sessions = small(options.data, case["set"])
        own, updates = epoch_of_segue(case, sessions, options.epochs)
        if case["peer"]:  # else it is a faster way to the same as in the case before
            peer = None
            if options.peer_python is not None:
                peer = epoch_of_peer(options.peer_python, case, sessions, options.epochs)
        rest = f"{peer[1]} | {peer[0]:.2f} | {own / peer[0]:.3f}" if peer else "- | - | -"
        print(f"| {name} | {updates} | {own:.2f} | {rest} |", flush=True)


def latency(options: argparse.Namespace) -> None:
    """Measure single recommendations and all ranks."""
    sessions = read(options.data, "nowplaying")
    model = SASRec(SASRecConfig(epochs=0, start="random")).fit(sessions["train"], 60_416)
    queries, targets, _ = questions(sessions["test"], "last")
    for kind, clock in (("wall", time.perf_counter), ("CPU", time.process_time)):
        times = []
        for i in range(300):
            began_s = clock()
            model.recommend(queries.part(i, i + 1), 20)
            times.append(1000 * (clock() - began_s))
        p50, p99 = np.percentile(times[20:], [50, 99])
        print(f"one query, 60,416 tracks, best 20, {kind}: p50 {p50:.2f} ms, p99 {p99:.2f} ms")
    began_s = time.process_time()
    model.ranks(queries, targets)
    print(f"ranks of {len(queries)} targets: {time.process_time() - began_s:.2f} CPU s")


def quality(options: argparse.Namespace) -> None:
    """Train, rank the last tracks, and print."""
    sessions = read(options.data, options.set)
    if options.set == "nowplaying":
        fit, asked, preset, repeats = sessions["train"], sessions["test"], None, "allowed"
    else:
        asked = sessions["all"]
        fit = asked.prefixes(np.arange(len(asked)), asked.lengths - 1)
        preset, repeats = SASREC_PRESETS.file("sasrec_lfm"), "masked"
    queries, targets, _ = questions(asked, "last")
    print("| seed | Hit@10 | NDCG@10 | Hit@20 | MRR@20 | CPU s |\n|---|---|---|---|---|---|")
    every = []
    for seed in options.seeds:
        config = SASRecConfig.load(preset, [*options.assignments, f"seed={seed}"])
        began_s = time.process_time()
        model = SASRec(config).fit(fit, N_TRACKS[options.set])
        spent_s = time.process_time() - began_s
        ranks = model.ranks(queries, targets, repeats=repeats)
        row = [
            (ranks <= 10).mean(),
            np.where(ranks <= 10, 1 / np.log2(ranks + 1), 0).mean(),
            (ranks <= 20).mean(),
            np.where(ranks <= 20, 1 / ranks, 0).mean(),
        ]
        every.append(row)
        print(f"| {seed} | {' | '.join(f'{x:.4f}' for x in row)} | {spent_s:.0f} |", flush=True)
    print(f"| mean | {' | '.join(f'{x:.4f}' for x in np.mean(every, axis=0))} | |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("what", choices=("speed", "latency", "quality"))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--peer-python", type=Path)
    parser.add_argument("--cases", default="", help="only those with this in their name")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--set", choices=("nowplaying", "lastfm"), default="nowplaying")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--assignments", nargs="*", default=[], metavar="KEY=VALUE")
    given = parser.parse_args()
    {"speed": speed, "latency": latency, "quality": quality}[given.what](given)
