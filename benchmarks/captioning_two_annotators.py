"""The two-annotators benchmark: does tuning by reward beat a converged warm start?

    python benchmarks/captioning_two_annotators.py ACTIVITYNET --out OUT [--processes 16]
        [--device cuda] [--warm 2] [--seeds 3] [--set K=V] [--tune-set K=V] [--stage NAME]

ACTIVITYNET is the folder of ActivityNet Captions (val_1 and val_2, CSV or JSON, packed or not).
The features are a PROXY made of the other annotator's sentences (`two_annotators.build`), so this
measures language and learning, never vision.

Stages, each taken up where it stopped; `--stage all` (default) does them all, what waits for
nothing else side by side:

    build      OUT/data: 60 / 10 / 30 per cent of the videos, both directions
    warm       OUT/warm/N: captioners by `pretrain`, seeds 0 .. --warm - 1
    tune       OUT/tuned/wN-sM: `tune` from every warm start with every seed
    control    OUT/control/wN-sM: as long on human captions alone, same updates and batches
    diagnose   samples beside greedy captions of every warm start, on validation videos
    say        captions of the test split by every run; beam search and consensus of warm starts
    evaluate   OUT/results-RECIPE-SPLIT.json, and the tables: metrics, paired intervals by video

Every training is one process with one thread; `--processes` of them run side by side. Settings are
those of the preset `small` and of `tune`, changed by --set and --tune-set. `--recipe NAME` keeps a
second recipe of tuning beside the first (OUT/NAME); `--split validation` evaluates the choice of a
recipe, `test` is for the end.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from segue.core.errors import SegueError
from segue.core.files import read_json, write_json
from segue.core.tables import Data, EvaluationTable, Role
from segue.tasks.captioning.baselines import consensus, drawn, hints, nearest, random_captions
from segue.tasks.captioning.config import PRETRAIN_PRESETS, PretrainConfig, TuneConfig
from segue.tasks.captioning.data.folder import load_prepared
from segue.tasks.captioning.data.prepared import Prepared
from segue.tasks.captioning.diagnose import diagnose
from segue.tasks.captioning.judging import Said, say
from segue.tasks.captioning.models.stored import load_captioner
from segue.tasks.captioning.pretrain import pretrain
from segue.tasks.captioning.scores import Scored, Scorer, table_of
from segue.tasks.captioning.tune import tune
from segue.tasks.captioning.two_annotators import PROXY, build

GROUPS = (
    ("build",),
    ("warm",),
    ("tune", "control", "diagnose", "say"),  # what the warm starts say waits for no tuning
    ("say",),
    ("evaluate",),
)
"""Stages; those of a group go side by side."""
STAGES = tuple(dict.fromkeys(stage for group in GROUPS for stage in group))
SAMPLES, TEMPERATURE, BEAMS, LIMIT = 10, 0.4, 3, 30
ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def main() -> None:
    """Do the stages that were asked for."""
    options = _options()
    out: Path = options.out
    if options.job:
        _work(options)
        return
    for stages in GROUPS if options.stage == "all" else ((options.stage,),):
        begun = time.time()
        if stages == ("build",):
            if not (out / "data" / "prepared.json").is_file():
                build(options.folder, out / "data")
        elif stages == ("evaluate",):
            evaluate(options)
        else:
            run_jobs([job for stage in stages for job in _jobs(stage, options)], options)
        sys.stderr.write(f"{' + '.join(stages)}: {time.time() - begun:.0f} s\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="folder of ActivityNet Captions")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--stage", choices=("all", *STAGES), default="all")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--warm", type=int, default=2, help="warm starts")
    parser.add_argument("--seeds", type=int, default=3, help="tunings of each warm start")
    parser.add_argument("--preset", default="small", help="of `pretrain`")
    parser.add_argument("--set", action="append", default=[], metavar="K=V", help="of `pretrain`")
    parser.add_argument("--tune-set", action="append", default=[], metavar="K=V", help="of `tune`")
    parser.add_argument("--recipe", default="tuned", help="folder and row of the tuned runs")
    parser.add_argument("--split", choices=("test", "validation"), default="test")
    parser.add_argument("--official", action="store_true", help="also METEOR's own program")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    return parser.parse_args()


def _jobs(stage: str, options: argparse.Namespace) -> list[str]:
    """Return the jobs of a stage that are not done: `STAGE:PLACE`, a place is a folder in OUT."""
    out: Path = options.out
    warm = [f"warm/{n}" for n in range(options.warm)]
    pairs = [f"w{n}-s{m}" for n in range(options.warm) for m in range(options.seeds)]
    if stage == "warm":
        return [f"warm:{place}" for place in warm if not (out / place / "result.json").is_file()]
    if stage in ("tune", "control"):
        folder = options.recipe if stage == "tune" else "control"
        places = [f"{folder}/{pair}" for pair in pairs]
        return [f"{stage}:{p}" for p in places if not (out / p / "result.json").is_file()]
    if stage == "diagnose":
        return [f"diagnose:{p}" for p in warm if not (out / p / "diagnosis.json").is_file()]
    places = [
        *warm,
        *(f"{folder}/{pair}" for folder in (options.recipe, "control") for pair in pairs),
    ]
    return [
        f"say:{p}"
        for p in places
        if (out / p / "result.json").is_file() and not _captions_file(out, p, options).is_file()
    ]


def run_jobs(jobs: Sequence[str], options: argparse.Namespace) -> None:
    """Run each job in a process of its own with one thread, so many side by side."""
    logs = options.out / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    environment = os.environ | dict.fromkeys(ONE_THREAD, "1")
    waiting, failed = list(jobs), list[str]()
    running: dict[subprocess.Popen[bytes], tuple[str, Path, float]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < options.processes:
                job = waiting.pop(0)
                log = logs / (job.replace(":", "-").replace("/", "-") + ".log")
                with log.open("a") as file:
                    command = [sys.executable, *sys.argv, "--job", job]
                    child = subprocess.Popen(command, env=environment, stdout=file, stderr=file)
                running[child] = (job, log, time.time())
            for child in [c for c in running if c.poll() is not None]:
                job, log, begun = running.pop(child)
                sys.stderr.write(f"  {job}: {time.time() - begun:.0f} s, code {child.returncode}\n")
                if child.returncode:
                    failed.append(f"{job}: {log.read_text()[-1500:]}")
            time.sleep(0.2)
    finally:
        for child in running:  # they keep a checkpoint and go on next time
            child.terminate()
    if failed:
        raise SystemExit("\n".join(failed))


def _work(options: argparse.Namespace) -> None:
    """Do one job and note what it cost."""
    stage, place = options.job.split(":", 1)
    out: Path = options.out
    folder = out / place
    data = load_prepared(out / "data")
    jobs: dict[str, Callable[[], Any]] = {
        "warm": lambda: _warm(folder, data, options),
        "tune": lambda: _tune(folder, data, options, control=False),
        "control": lambda: _tune(folder, data, options, control=True),
        "diagnose": lambda: _diagnose(folder, data, options),
        "say": lambda: _say(place, data, options),
    }
    begun = time.time()
    try:
        jobs[stage]()
    except SegueError as error:
        raise SystemExit(str(error)) from None
    finally:
        costs = out / "costs" / f"{options.job.replace(':', '-').replace('/', '-')}.json"
        costs.parent.mkdir(exist_ok=True)
        spent = read_json(costs) if costs.is_file() else {"cpu_s": 0.0, "wall_s": 0.0}
        spent = {
            "cpu_s": spent["cpu_s"] + time.process_time(),
            "wall_s": spent["wall_s"] + time.time() - begun,
        }
        write_json(costs, spent)


def _warm(folder: Path, data: Prepared, options: argparse.Namespace) -> None:
    flags = {"seed": int(folder.name), "device": options.device}
    config = PretrainConfig.load(PRETRAIN_PRESETS.file(options.preset), options.set, flags)
    resume = (folder / "config.toml").is_file()
    pretrain(data, folder, None if resume else config, resume=resume)


def _tune(folder: Path, data: Prepared, options: argparse.Namespace, *, control: bool) -> None:
    warm, seed = (int(part[1:]) for part in folder.name.split("-"))
    flags: dict[str, Any] = {"seed": seed, "device": options.device}
    if control:  # nothing is earned, so human captions are all that is learned from
        flags |= {"weights": {"cider": 0.0}, "cross_entropy": 1.0, "samples": 2, "kl": 0.0}
    config = TuneConfig.load(None, options.tune_set, flags)
    resume = (folder / "config.toml").is_file()
    start = load_captioner(options.out / "warm" / str(warm))
    tune(start, data, folder, None if resume else config, resume=resume)


def _diagnose(folder: Path, data: Prepared, options: argparse.Namespace) -> None:
    network = load_captioner(folder).network.to(options.device)
    table = diagnose(data, network, samples=SAMPLES)
    write_json(folder / "diagnosis.json", table.to_dict())


def _say(place: str, data: Prepared, options: argparse.Namespace) -> None:
    split = data.splits[options.split]
    network = load_captioner(options.out / place).network.to(options.device)
    said: dict[str, Said] = {"greedy": say(network, split, limit=LIMIT)}
    if place.startswith("warm/"):
        said["beam"] = say(network, split, limit=LIMIT, beams=BEAMS)
        samples = drawn(
            network, split, np.arange(len(split)), samples=SAMPLES, temperature=TEMPERATURE,
            limit=LIMIT,
        )  # fmt: skip
        said["consensus"] = consensus(data, samples, SAMPLES)
    words = data.vocabulary.words
    captions = {name: [" ".join(s) for s in each.sentences(words)] for name, each in said.items()}
    path = _captions_file(options.out, place, options)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, captions)


def _captions_file(out: Path, place: str, options: argparse.Namespace) -> Path:
    folder: Path = out / "captions" / str(options.split)
    return folder / f"{place.replace('/', '-')}.json"


def evaluate(options: argparse.Namespace) -> None:
    """Score all captions, print the tables and write everything into one file."""
    out: Path = options.out
    data = load_prepared(out / "data")
    split = data.splits[options.split]
    references = split.references()
    scorer = Scorer(references, split.segments.videos, official=options.official)
    segments = np.arange(len(split))

    def told(pattern: str, kind: str = "greedy") -> list[Scored]:
        paths = sorted((out / "captions" / options.split).glob(f"{pattern}.json"))
        return [scorer.score(read_json(path)[kind]) for path in paths]

    rows: dict[str, tuple[Role, Sequence[Scored]]] = {
        "random caption": ("random", [scorer.score(random_captions(data, len(split)))]),
        "nearest training segment": (
            "baseline",
            [scorer.score(nearest(data, split, segments))],
        ),
        "other annotator, copied": ("bound", [scorer.score(hints(split, segments))]),
        "warm start": ("prior", told("warm-*")),
        f"warm start, beam {BEAMS}": ("baseline", told("warm-*", "beam")),
        f"warm start, consensus of {SAMPLES} at T {TEMPERATURE}": (
            "baseline",
            told("warm-*", "consensus"),
        ),
        "cross-entropy control": ("baseline", told("control-w*")),
        options.recipe: ("tuned", told(f"{options.recipe}-w*")),
    }
    rows = {name: row for name, row in rows.items() if row[1]}
    facts = Data(
        name=f"two annotators ({options.split})", n=len(split), fingerprint=data.fingerprint
    )
    against = ("cross-entropy control", "other annotator, copied")
    table = table_of(rows, facts, seeds=range(options.seeds), against=against)
    runs = {name: [each.figures() for each in scored] for name, (_, scored) in rows.items()}
    diagnoses = {
        path.parent.name: read_json(path) for path in sorted(out.glob("warm/*/diagnosis.json"))
    }
    costs = {path.stem: read_json(path) for path in sorted((out / "costs").glob("*.json"))}
    where = out / f"results-{options.recipe}-{options.split}.json"
    write_json(
        where,
        {
            "proxy": PROXY,
            "command": sys.argv,
            "settings": _settings(out, options),
            "data": {"fingerprint": data.fingerprint, "splits": data.facts["splits"]},
            "reference_words": scorer.reference_words,
            "missing": scorer.missing,
            "table": table.to_dict(),
            "runs": runs,
            "validation": _validation(out, options),
            "diagnoses": diagnoses,
            "costs": costs,
        },
    )
    for name, diagnosis in diagnoses.items():
        sys.stdout.write(f"\nvalidation captions of warm start {name} by temperature\n")
        EvaluationTable.from_dict(diagnosis).print()
    table.print()
    spent = sum(cost["cpu_s"] for cost in costs.values())
    sys.stdout.write(
        f"references: {scorer.reference_words:.2f} words; {scorer.n_videos} videos; "
        f"{spent:.0f} CPU s of training and decoding\n{PROXY}\nwritten to {where}\n"
    )
    sys.stdout.writelines(f"no {name}: {why}\n" for name, why in scorer.missing.items())


def _settings(out: Path, options: argparse.Namespace) -> dict[str, str]:
    places = ("warm/0", f"{options.recipe}/w0-s0", "control/w0-s0")
    files = {place: out / place / "config.toml" for place in places}
    return {place: file.read_text() for place, file in files.items() if file.is_file()}


def _validation(out: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Return what each run wrote of itself: validation metrics, first and last."""
    found = {}
    for folder in ("warm", options.recipe, "control"):
        for path in sorted((out / folder).glob("*/result.json")):
            found[f"{folder}/{path.parent.name}"] = read_json(path)
    return found


if __name__ == "__main__":
    main()
