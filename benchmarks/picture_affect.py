"""Does the arousal curve of a picture follow the loudness of the picture's own sound?

    python benchmarks/picture_affect.py --videos DIR

DIR holds sintel_trailer.mp4, tears_of_steel_battle.webm, big_buck_bunny_0_30.webm and
chrome_puppet_ad.webm (openly licensed films and an advert with sound). The sound of each was made
for its picture by people, so it is a witness of how exciting they found the moment; it has speech
and effects too, so no curve can reach 1.

For non-overlapping windows of 2, 3 and 5 s: Pearson r of the mean arousal with the level in dB,
averaged over the four clips. The null distribution shifts the arousal curve in a circle by at least
2 s, each clip by its own random amount, and compares averages of Fisher's z. The curve was not
fitted to the sound of these clips, but its recipe is one of six that were compared on them: read r
as optimistic.

Then the whole space: every five seconds with sound of the four clips, picture against sound by the
affect embedder. Printed are the mean percentile at which a segment's own sound ranks among all (50
is chance; the null pairs them at random) and, axis by axis, the correlation of picture and sound
over all segments and within clips.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.media.audio import read_audio, write_wav
from segue.media.embed.affect import vector
from segue.media.embed.picture_axes import AXES, RATE_HZ
from segue.media.picture import PictureAnalysis, analyse_picture
from segue.media.spectrum import RATE_HZ as MUSIC_RATE_HZ
from segue.media.track import analyse_track

CLIPS = (
    "sintel_trailer.mp4",
    "tears_of_steel_battle.webm",
    "big_buck_bunny_0_30.webm",
    "chrome_puppet_ad.webm",
)
SOUND_RATE_HZ = 16_000
SILENCE_DB = -60.0
BAR_R, BAR_P = 0.40, 0.01
SEGMENT_S = 5
SILENT = 1e-3
"""A segment whose samples stay below has no sound to rank."""
Floats = NDArray[np.float64]


def main() -> None:
    """Measure every curve, print the table and whether the bar is reached."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--videos", type=Path, required=True, help="folder with the four clips")
    parser.add_argument("--draws", type=int, default=20_000, help="draws of the null distribution")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead")
    given = parser.parse_args()
    clips = [(analyse_picture(given.videos / name), level(given.videos / name)) for name in CLIPS]
    rng = np.random.default_rng(given.seed)
    result = {
        curve: {
            str(window_s): measure(clips, curve, window_s, given.draws, rng)
            for window_s in (2, 3, 5)
        }
        for curve in (*AXES, "cuts and motion", "motion alone")
    }
    space = compare_space(given.videos, [analysis for analysis, _ in clips], given.draws, rng)
    if given.json:
        about = {"clips": CLIPS, "seed": given.seed, "draws": given.draws}
        print(json.dumps({**about, "curves": result, "space": space}))
        return
    print(f"{'curve':<17}{'window':>7}{'mean r':>8}{'null':>16}{'p':>9}   per clip")
    for curve, windows in result.items():
        for window, row in windows.items():
            null = f"{row['null_mean']:+.2f} +/- {row['null_sd']:.2f}"
            each = " ".join(f"{r:+.2f}" for r in row["r"])
            print(
                f"{curve:<17}{window:>5} s{row['mean_r']:>+8.2f}{null:>16}{row['p']:>9.4f}   {each}"
            )
    row = result["arousal"]["3"]
    reached = row["mean_r"] >= BAR_R and row["p"] < BAR_P
    print(
        f"bar: arousal at 3 s, mean r >= {BAR_R} with p < {BAR_P}: "
        f"{'reached' if reached else 'NOT reached'} ({row['mean_r']:.2f}, p {row['p']:.4f})"
    )
    print(
        f"own sound among those of {space['n']} segments: percentile {space['percentile']:.0f}, "
        f"null {space['null_mean']:.0f} +/- {space['null_sd']:.1f}, p {space['p']:.4f}"
    )
    for axis, (overall, within) in space["r"].items():
        print(f"{axis:<17} r over all segments {overall:+.2f}, within clips {within:+.2f}")


def level(path: Path) -> Floats:
    """Return the sound's mean power at RATE_HZ, from the first frame on."""
    samples = read_audio(path, SOUND_RATE_HZ, mono=True).samples[0].astype(np.float64)
    step = SOUND_RATE_HZ // RATE_HZ
    whole = samples[: len(samples) // step * step].reshape(-1, step)
    return np.square(whole).mean(axis=1)


def compare_space(
    videos: Path, analyses: list[PictureAnalysis], draws: int, rng: np.random.Generator
) -> dict[str, Any]:
    """Rank the own sound of each segment of SEGMENT_S among the sounds of all segments."""
    seen, heard, clip = [], [], []
    step, size = SEGMENT_S * RATE_HZ, SEGMENT_S * MUSIC_RATE_HZ
    with tempfile.TemporaryDirectory() as folder:
        for index, (name, analysis) in enumerate(zip(CLIPS, analyses, strict=True)):
            samples = read_audio(videos / name, MUSIC_RATE_HZ, mono=True).samples
            for i in range(min(len(analysis.axes) // step, samples.shape[1] // size)):
                sound = samples[:, i * size : (i + 1) * size]
                if np.abs(sound).max() < SILENT:
                    continue
                file = Path(folder) / f"{index}-{i}.wav"
                write_wav(file, sound, MUSIC_RATE_HZ)
                seen.append(analysis.axes[i * step : (i + 1) * step].mean(axis=0))
                heard.append(analyse_track(file).axes)
                clip.append(index)
    pictures, sounds, clips = np.array(seen), np.array(heard), np.array(clip)
    n = len(pictures)
    close = vector(pictures) @ vector(sounds).T
    below = (close[:, :, None] > close[:, None, :]).sum(axis=2) / (n - 1)  # [n, n] ranks in 0-1
    found = 100 * below.diagonal().mean()
    null = np.array([100 * below[np.arange(n), rng.permutation(n)].mean() for _ in range(draws)])
    centred = [
        values - np.array([values[clips == c].mean(axis=0) for c in clips])
        for values in (pictures, sounds)
    ]
    return {
        "n": n,
        "percentile": float(found),
        "null_mean": float(null.mean()),
        "null_sd": float(null.std()),
        "p": float((np.count_nonzero(null >= found) + 1) / (draws + 1)),
        "r": {
            axis: [
                float(np.corrcoef(a[:, k], b[:, k])[0, 1])
                for a, b in ((pictures, sounds), (centred[0], centred[1]))
            ]
            for k, axis in enumerate(AXES)
        },
    }


def curve_of(analysis: PictureAnalysis, name: str) -> Floats:
    """Return a curve at RATE_HZ: an axis, or the simpler measures that it must beat."""
    if name in AXES:
        return analysis.axes[:, AXES.index(name)]
    if name == "cuts and motion":
        z = [
            (f - f.mean()) / (f.std() + 1e-9)
            for f in (analysis.features["diff"], analysis.features["pace"])
        ]
        return z[0] + z[1]
    return analysis.features["diff"]


def measure(
    clips: list[tuple[PictureAnalysis, Floats]],
    name: str,
    window_s: int,
    draws: int,
    rng: np.random.Generator,
) -> dict[str, object]:
    """Correlate one curve with the level in windows, over all clips and under the null."""
    size = window_s * RATE_HZ
    found, null = [], np.zeros((len(clips), draws))
    for i, (analysis, power) in enumerate(clips):
        curve = curve_of(analysis, name)
        n = min(len(curve), len(power)) // size * size
        loud = 10 * np.log10(power[:n].reshape(-1, size).mean(axis=1) + 10 ** (SILENCE_DB / 10))
        found.append(pearson(curve[:n], loud, size))
        shifts = np.arange(2 * RATE_HZ, n - 2 * RATE_HZ + 1)
        shifted = np.array([pearson(np.roll(curve[:n], shift), loud, size) for shift in shifts])
        null[i] = rng.choice(shifted, size=draws)
    r = np.array(found)
    mean, null_mean = fisher_mean(r[:, None])[0], fisher_mean(null)
    return {
        "mean_r": float(r.mean()),
        "r": [float(x) for x in r],
        "null_mean": float(null_mean.mean()),
        "null_sd": float(null_mean.std()),
        "p": float((np.count_nonzero(null_mean >= mean) + 1) / (draws + 1)),
    }


def pearson(curve: Floats, loud: Floats, size: int) -> float:
    """Return r between the window means of a curve and the level of the windows."""
    means = curve.reshape(-1, size).mean(axis=1)
    if means.std() < 1e-12 or loud.std() < 1e-12:
        return 0.0
    return float(np.corrcoef(means, loud)[0, 1])


def fisher_mean(r: Floats) -> Floats:
    """Return the mean correlation over the first axis, averaged as Fisher's z."""
    return np.tanh(np.arctanh(np.clip(r, -0.999, 0.999)).mean(axis=0))


if __name__ == "__main__":
    main()
