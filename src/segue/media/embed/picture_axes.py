"""From what a picture shows to five axes of mood, in standard units.

The axes and where their terms come from:

- arousal: motion and cut rhythm (Hanjalic & Xu 2005, "Affective video content representation and
  modeling", IEEE Trans. Multimedia 7:143-154), colour (Valdez & Mehrabian 1994, "Effects of color
  on emotions", J. Exp. Psych. General 123:394-409: -.31 brightness, +.60 saturation), and visual
  complexity by edges, our addition;
- valence: brightness and saturation (Valdez & Mehrabian: .69 and .22);
- tension: .51 arousal - .78 valence, fitted on human ratings of film music, plus low-key light;
- pace: cut rhythm and motion;
- brightness: mean lightness.

Faces, story and speech are not seen; a shaking camera counts as motion, dark always as tense.
Constants were set on 25 clips with equal weight; they are reference means and standard deviations,
not fitted to any label.

Letters: `N` samples of the picture's clock at `RATE_HZ`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from segue.media.embed.music_axes import AXES

__all__ = ["AXES", "FEATURES", "RATE_HZ", "axes", "blankness", "smooth"]

Floats = NDArray[np.float64]

RATE_HZ = 4
"""Samples per second of every curve."""

FEATURES: dict[str, tuple[float, float]] = {
    "diff": (1.494, 1.107),
    "blocks": (-3.134, 1.226),
    "pace": (-2.088, 0.851),
    "lightness": (47.05, 16.07),
    "saturation": (0.284, 0.206),
    "edge": (14.11, 7.25),
    "dark": (0.158, 0.216),
}
"""Feature -> (mean, standard deviation) of the reference clips.

- diff: ln(.3 + mean absolute luma difference per 1/8 s after matching exposure)
- blocks: ln(.01 + mean block motion in picture widths per second)
- pace: -ln(length of the shot in s, clipped to .3-30)
- lightness: mean CIE L*
- saturation: mean HSV saturation
- edge: mean absolute horizontal plus vertical luma step at 160 columns
- dark: share of luma below 40
"""

_SCALES = {
    "arousal": (-0.021, 0.872),
    "valence": (0.052, 0.817),
    "tension": (-0.079, 0.894),
    "pace": (-0.026, 0.943),
    "brightness": (0.048, 0.821),
}
_WINDOW_S = 3
_CLIP = 2.5


def axes(features: Mapping[str, Floats], blank: Floats) -> Floats:
    """Return the axes [N, 5] in the order of AXES, smoothed and clipped to +/-2.5 sd.

    Args:
        features: each name of FEATURES -> [N].
        blank: [N] how much of nothing is shown, 0-1 (`blankness`); quiets every axis.
    """
    z = {name: (features[name] - mean) / sd for name, (mean, sd) in FEATURES.items()}
    motion = (z["diff"] + z["blocks"]) / 2
    light, colour = z["lightness"], z["saturation"]
    seen = 1 - blank
    hue_arousal = -0.31 * light + 0.60 * colour
    # 1. axes of single samples
    arousal = (
        seen * (motion + 0.5 * z["pace"] + 0.5 * hue_arousal + 0.5 * z["edge"]) / 1.6 - 2 * blank
    )
    valence = seen * (0.69 * light + 0.22 * colour) / 0.75
    tension = seen * (0.51 * arousal - 0.78 * valence + 0.3 * z["dark"]) - 0.5 * blank
    pace = seen * (0.6 * z["pace"] + 0.4 * motion) / 0.8 - 1.5 * blank
    raw = np.stack([arousal, valence, tension, pace, seen * light], axis=1)  # [N, 5]
    # 2. what an eye takes in over three seconds, in standard units
    mean, sd = np.array([_SCALES[name] for name in AXES]).T
    scaled: Floats = np.clip((smooth(raw) - mean) / sd, -_CLIP, _CLIP)
    return scaled


def blankness(dark: Floats, bright: Floats) -> Floats:
    """Return how blank a picture is, 0-1: nearly all black (titles, fades) or nearly all white.

    Args:
        dark: [N] share of luma below 40.
        bright: [N] share of luma above 200.
    """
    share = np.maximum(dark, bright)
    blank: Floats = np.clip((share - 0.85) / 0.14, 0, 1)
    return blank


def smooth(curves: Floats) -> Floats:
    """Return curves [N, D] smoothed along time by a 3-s Hann window; ends use what there is."""
    window = np.hanning(_WINDOW_S * RATE_HZ + 1)
    half = len(window) // 2
    weight = np.convolve(np.ones(len(curves)), window)[half : half + len(curves)]
    columns = [np.convolve(c, window)[half : half + len(curves)] / weight for c in curves.T]
    return np.stack(columns, axis=1)
