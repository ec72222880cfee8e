"""How well do the axes of `segue.media.embed.music_axes` know the mood of real music?

    python benchmarks/music_affect.py --data DIR [--json] [--reference]

DIR holds `music/` (tracks and labels.csv with columns path, usage_class, arousal_group),
`emotion/` (emopia_*_Q<n>_*.mp3, and the film music ratings and features as CSV) and
`melodies/pop909_midi.zip`. None of it comes with Segue.

- *arousal*: area under the ROC curve of high against low arousal groups (by use in a game, not by
  listeners): all tracks; only pairs from one source, which takes the style of a producer out; one
  composer (SPD); tense variants against the normal tracks of the same game zone.
- *game valence*: happy, town and victory tracks against sad, mystery, tense and defeat ones.
- *EMOPIA*: piano clips generated for a quadrant; arousal (Q1, Q2 high) and valence (Q1, Q4 high).
- *mode*: major against minor on 75 songs with one known key (every tenth of POP909), rendered with
  five harmonics, first minute.
- *film music*: ten-fold correlation of a ridge regression on the 25 timbre numbers with the mean
  human ratings of 110 excerpts; it is the energy model that ships, fitted again in each fold.

Every row stands beside three floors: the mean change of the log spectrum alone, the level alone,
and chance. 95 % intervals by a stratified bootstrap over tracks. The tracks were looked at while
the recipe was made (one of about 15 composites), so read the numbers as optimistic.
`--reference` prints the constants of music_axes.py as measured on all tracks of `music/`.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segue.media import music_features
from segue.media.affect_features import AFFECT, Stretch
from segue.media.embed import music_axes as recipe
from segue.media.key import PROFILES
from segue.media.library import analyse_library
from segue.media.spectrum import RATE_HZ
from segue.media.track import TrackAnalysis

Floats = NDArray[np.float64]
BARS = {
    "all": 0.75, "one source": 0.87, "SPD": 0.92, "tense": 14 / 15, "EMOPIA arousal": 0.92,
    "EMOPIA valence": 0.75, "mode": 0.92, "film energy": 0.70, "film tension": 0.35,
    "film valence": 0.15,
}  # fmt: skip
N_SONGS, SONG_S = 75, 60.0


def main() -> None:
    """Measure everything and print one table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder described above")
    parser.add_argument("--seed", type=int, default=0, help="of bootstrap, folds and chance")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead")
    parser.add_argument("--reference", action="store_true", help="print the constants and stop")
    given = parser.parse_args()
    tracks = {t.path.name: t for t in analyse_library(given.data / "music").tracks}
    if given.reference:
        print_reference(list(tracks.values()))
        return
    rng = np.random.default_rng(given.seed)
    rows: list[dict[str, object]] = []
    rows += game_rows(tracks, given.data / "music" / "labels.csv", rng)
    rows += emopia_rows(given.data / "emotion", rng)
    rows += mode_rows(given.data / "melodies" / "pop909_midi.zip", rng)
    rows += film_rows(given.data / "emotion", rng)
    if given.json:
        print(json.dumps({"seed": given.seed, "rows": rows}, indent=1))
        return
    print(f"{'what':16} {'n':>9}  {'recipe':6} {'95 % interval':13}  {'bar':5}  floors")
    for row in rows:
        name, value = str(row["what"]), float(row["value"])  # type: ignore[arg-type]
        low, high = row["interval"]  # type: ignore[misc]
        bar = BARS.get(name)
        verdict = "" if bar is None else "ok" if value >= bar - 1e-9 else "MISSED"
        floors = ", ".join(f"{k} {v:.2f}" for k, v in row["floors"].items())  # type: ignore[attr-defined]
        print(f"{name:16} {row['n']:>9}  {value:.3f}  {low:.2f} - {high:.2f}    "
              f"{'' if bar is None else f'>={bar:.2f}':6} {verdict:6} {floors}")  # fmt: skip
    print_spread(list(tracks.values()))


def game_rows(
    tracks: dict[str, TrackAnalysis], labels: Path, rng: np.random.Generator
) -> Iterator[dict[str, object]]:
    """Arousal by the use of a track in its game."""
    with labels.open(newline="", encoding="utf-8") as file:
        known = [row for row in csv.DictReader(file) if row["path"] in tracks]
    grouped = [row for row in known if row["arousal_group"]]
    source = [row["path"].partition("_")[0] for row in grouped]
    high = np.array([row["arousal_group"] == "high" for row in grouped])
    scores = scores_of([tracks[row["path"]] for row in grouped], "arousal", rng)
    yield row_of("all", scores, high, np.zeros(len(high)), rng)
    yield row_of("one source", scores, high, np.unique(source, return_inverse=True)[1], rng)
    spd = np.array([s == "spd" for s in source])
    part = {name: values[spd] for name, values in scores.items()}
    yield row_of("SPD", part, high[spd], np.zeros(spd.sum()), rng)
    zone = [re.fullmatch(r"spd_(\w+?)_(tense|[123])\.ogg", row["path"]) for row in grouped]
    use = np.array([z is not None and z[1] != "theme" for z in zone])
    names = np.unique(
        [z[1] for z, u in zip(zone, use, strict=True) if z and u], return_inverse=True
    )
    part = {name: values[use] for name, values in scores.items()}
    yield row_of("tense", part, high[use], names[1], rng)
    good, bad = ("happy", "town", "victory"), ("sad", "mystery", "tense", "defeat")
    classed = [row for row in known if row["usage_class"] in good + bad]
    pleasant = np.array([row["usage_class"] in good for row in classed])
    scores = scores_of([tracks[row["path"]] for row in classed], "valence", rng)
    yield row_of("game valence", scores, pleasant, np.zeros(len(pleasant)), rng)


def emopia_rows(folder: Path, rng: np.random.Generator) -> Iterator[dict[str, object]]:
    """Piano clips that were generated for a quadrant of valence and arousal."""
    clips = analyse_library(sorted(folder.glob("emopia_*.mp3"))).tracks
    quadrant = np.array([int(re.search(r"_Q(\d)_", c.path.name)[1]) for c in clips])  # type: ignore[index]
    group = np.zeros(len(clips))
    for axis, high in (("arousal", (1, 2)), ("valence", (1, 4))):
        scores = scores_of(clips, axis, rng)
        yield row_of(f"EMOPIA {axis}", scores, np.isin(quadrant, high), group, rng)


def mode_rows(archive: Path, rng: np.random.Generator) -> Iterator[dict[str, object]]:
    """Major against minor where the key is known."""
    major, features, levels = [], [], []
    for song, is_major in known_songs(archive):
        stretch = Stretch(music_features.measure([song]))
        features.append(stretch.affect())
        levels.append(stretch.timbre()[0])
        major.append(is_major)
    table = np.array(features)
    modes = table[:, [AFFECT.index(name) for name in AFFECT if name.startswith("mode")]]
    scores = {
        "recipe": modes.mean(axis=1),
        "log flux": table[:, AFFECT.index("flux")],
        "level": np.array(levels),
        "random": rng.random(len(table)),
    }
    row = row_of("mode", scores, np.array(major), np.zeros(len(table)), rng)
    single = {
        name: auc(modes[:, i], np.array(major), np.zeros(len(table)))
        for i, name in enumerate(PROFILES)
    }
    yield row | {"floors": {**row["floors"], **single}}  # type: ignore[dict-item]


def film_rows(folder: Path, rng: np.random.Generator) -> Iterator[dict[str, object]]:
    """Cross-validated ridge on the features for which human ratings exist."""
    with (folder / "filmmusic_soundtrack_features.csv").open(newline="") as file:
        rows = [[float(v) for v in list(row.values())[1:]] for row in csv.DictReader(file)]
    with (folder / "filmmusic_ratings.csv").open(newline="") as file:
        ratings = list(csv.DictReader(file))
    raw = np.array(rows)
    timbre = np.column_stack([20 * np.log10(raw[:, 0]), np.log(raw[:, 1:5]), raw[:, 5:]])
    folds = rng.permutation(len(raw)) % 10
    for name in ("Energy", "Tension", "Valence"):
        target = np.array([float(row[name]) for row in ratings])
        predicted = np.empty(len(raw))
        for fold in range(10):
            predicted[folds == fold] = ridge(
                timbre[folds != fold], target[folds != fold], timbre[folds == fold]
            )
        r = float(np.corrcoef(predicted, target)[0, 1])
        half = 1.96 / np.sqrt(len(raw) - 3)
        floors = {"level": float(np.corrcoef(timbre[:, 0], target)[0, 1]), "random": 0.0}
        if name == "Energy":  # the shipped weights have seen these ratings
            shipped = recipe.film_energy(timbre)
            floors["shipped, in sample"] = float(np.corrcoef(shipped, target)[0, 1])
        yield {
            "what": f"film {name.lower()}", "n": f"r, {len(raw)}", "value": r,
            "interval": [float(np.tanh(np.arctanh(r) + s * half)) for s in (-1, 1)],
            "floors": floors,
        }  # fmt: skip


def ridge(known: Floats, target: Floats, asked: Floats, alpha: float = 2.98) -> Floats:
    """Fit on standardised features and predict."""
    mean, sd = known.mean(axis=0), known.std(axis=0)
    z = (known - mean) / sd
    weights = np.linalg.solve(z.T @ z + alpha * np.eye(z.shape[1]), z.T @ (target - target.mean()))
    return np.asarray(target.mean() + ((asked - mean) / sd) @ weights)


def scores_of(tracks: object, axis: str, rng: np.random.Generator) -> dict[str, Floats]:
    """The axis, and the floors."""
    known: list[TrackAnalysis] = list(tracks)  # type: ignore[call-overload]
    return {
        "recipe": np.array([t.axes[recipe.AXES.index(axis)] for t in known]),
        "log flux": np.array([t.affect[AFFECT.index("flux")] for t in known]),
        "level": np.array([t.timbre[0] for t in known]),
        "random": rng.random(len(known)),
    }


def row_of(
    what: str, scores: dict[str, Floats], high: NDArray[np.bool_], group: Floats,
    rng: np.random.Generator,
) -> dict[str, object]:  # fmt: skip
    """Area under the curve over pairs within a group, with its bootstrap interval."""
    draws = []
    members = [np.nonzero((group == g) & (high == h))[0] for g in np.unique(group) for h in (0, 1)]
    for _ in range(2000):
        picked = np.concatenate([rng.choice(m, len(m)) for m in members if len(m)])
        draws.append(auc(scores["recipe"][picked], high[picked], group[picked]))
    pairs = sum(int(((group == g) & high).sum() * ((group == g) & ~high).sum())
                for g in np.unique(group))  # fmt: skip
    return {
        "what": what,
        "n": f"{pairs} pairs",
        "value": auc(scores["recipe"], high, group),
        "interval": [float(q) for q in np.percentile(draws, [2.5, 97.5])],
        "floors": {k: auc(v, high, group) for k, v in scores.items() if k != "recipe"},
    }


def auc(score: Floats, high: NDArray[np.bool_], group: Floats) -> float:
    """Share of (high, low) pairs within a group that the score puts in order; a tie is half."""
    pair = (group[:, None] == group) & high[:, None] & ~high
    order = np.sign(score[:, None] - score) / 2 + 0.5
    return float(order[pair].mean())


def known_songs(archive: Path) -> Iterator[tuple[NDArray[np.float32], bool]]:
    """Yield (sound, is major) of every tenth song that stays in one key."""
    with zipfile.ZipFile(archive) as songs:
        names = sorted(n for n in songs.namelist() if n.endswith("key_audio.txt"))
        keys = {n: songs.read(n).decode().split("\n") for n in names}
        one = [n for n in names if sum(bool(line.strip()) for line in keys[n]) == 1]
        for name in one[::10][:N_SONGS]:
            folder = name.rpartition("/")[0]
            midi = songs.read(f"{folder}/{folder.rpartition('/')[2]}.mid")
            yield render(midi_notes(midi)), "maj" in keys[name][0]


def render(notes: list[tuple[float, float, int, int]]) -> NDArray[np.float32]:
    """Five harmonics a note, falling as 1/h, with a short attack and a decay."""
    out = np.zeros(int(SONG_S * RATE_HZ))
    for start_s, end_s, pitch, velocity in notes:
        first = int(start_s * RATE_HZ)
        n = min(int(max(end_s - start_s, 0.05) * RATE_HZ), len(out) - first)
        if n <= 0:
            continue
        time_s = np.arange(n) / RATE_HZ
        phase = 2 * np.pi * 440 * 2 ** ((pitch - 69) / 12) * time_s
        envelope = np.minimum(time_s / 0.01, 1) * np.exp(-2 * time_s) * velocity / 127
        out[first : first + n] += envelope * sum(np.sin(h * phase) / h for h in range(1, 6))
    return (0.5 * out / np.abs(out).max()).astype(np.float32)


def midi_notes(data: bytes) -> list[tuple[float, float, int, int]]:
    """Read (start s, end s, pitch, velocity) from a standard MIDI file with metrical time."""
    stream = io.BytesIO(data)
    assert stream.read(4) == b"MThd", "not a MIDI file"
    stream.read(4)
    _, n_tracks, division = (int.from_bytes(stream.read(2), "big") for _ in range(3))
    tempi: list[tuple[int, int]] = [(0, 500_000)]
    events: list[tuple[int, int, int, int]] = []  # tick, channel, pitch, velocity (0 = off)
    for _ in range(n_tracks):
        assert stream.read(4) == b"MTrk", "not a MIDI track"
        end = int.from_bytes(stream.read(4), "big") + stream.tell()
        tick = status = 0
        while stream.tell() < end:
            tick += _variable(stream)
            byte = stream.read(1)[0]
            if byte < 0x80:
                stream.seek(-1, 1)
            else:
                status = byte
            kind = status & 0xF0
            if status == 0xFF:
                meta, body = stream.read(1)[0], stream.read(_variable(stream))
                if meta == 0x51:
                    tempi.append((tick, int.from_bytes(body, "big")))
            elif status in (0xF0, 0xF7):
                stream.read(_variable(stream))
            elif kind in (0xC0, 0xD0):
                stream.read(1)
            else:
                pitch, velocity = stream.read(2)
                if kind in (0x80, 0x90):
                    on = velocity if kind == 0x90 else 0
                    events.append((tick, status & 15, pitch, on))
        stream.seek(end)
    tempi.sort()
    ticks = np.array([t for t, _ in tempi])
    per_tick = np.array([us / 1e6 / division for _, us in tempi])
    base = np.concatenate([[0], np.cumsum(np.diff(ticks) * per_tick[:-1])])

    def seconds(tick: int) -> float:
        i = int(np.searchsorted(ticks, tick, "right")) - 1
        return float(base[i] + (tick - ticks[i]) * per_tick[i])

    sounding: dict[tuple[int, int], tuple[int, int]] = {}
    notes = []
    for tick, channel, pitch, velocity in sorted(events, key=lambda e: (e[0], e[3])):
        if (started := sounding.pop((channel, pitch), None)) is not None:
            notes.append((seconds(started[0]), seconds(tick), pitch, started[1]))
        if velocity:
            sounding[channel, pitch] = (tick, velocity)
    return notes


def _variable(stream: io.BytesIO) -> int:
    value = 0
    while (byte := stream.read(1)[0]) & 0x80:
        value = value << 7 | byte & 0x7F
    return value << 7 | byte


def print_spread(tracks: list[TrackAnalysis]) -> None:
    """Print how far ten-second windows stray from their track, against tracks from each other."""
    within = np.array([t.window_axes.std(axis=0) for t in tracks if len(t.window_axes) > 2])
    between = np.array([t.axes for t in tracks]).std(axis=0)
    print(f"\n{'axis':12} spread of ten-second windows within a track, between tracks")
    for axis, w, b in zip(recipe.AXES, within.mean(axis=0), between, strict=True):
        print(f"{axis:12} {w:.2f} {b:.2f}")


def print_reference(tracks: list[TrackAnalysis]) -> None:
    """Print the means and standard deviations that music_axes.py holds."""
    affect = np.array([t.affect for t in tracks])
    energy = recipe.film_energy(np.array([t.timbre for t in tracks]))
    mean, sd = affect.mean(axis=0), affect.std(axis=0)
    z = np.clip((affect - mean) / sd, -4, 4)
    rhythm = z[:, :5].mean(axis=1)
    arousal = ((energy - energy.mean()) / energy.std() + rhythm / rhythm.std()) / 2
    valence = z[:, 5:8].mean(axis=1) - 0.5 * z[:, 8]
    for name, m, s in zip(AFFECT, mean, sd, strict=True):
        print(f"{name:18} {m:8.3f} {s:6.3f}")
    print(f"{'film energy':18} {energy.mean():8.3f} {energy.std():6.3f}")
    for name, values in (("rhythm", rhythm), ("arousal", arousal), ("valence", valence),
                         ("pace", z[:, 1] + z[:, 4])):  # fmt: skip
        print(f"{name:18} {values.mean():8.3f} {values.std():6.3f}")


if __name__ == "__main__":
    main()
