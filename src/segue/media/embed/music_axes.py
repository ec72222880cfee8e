"""Five axes of feeling in music: arousal, valence, tension, pace, brightness.

Every axis is in units of the spread of a reference library (85 freely licensed game and film
tracks; no labels used), 0 is that library's middle, and everything is clipped at +/-2.5. Numbers in
brackets: area under the ROC curve on real tracks with known use; `benchmarks/music_affect.py`
prints them all again, beside single features and chance.

- *arousal*: half the energy that people hear in film music (a ridge regression on 25 timbre
  numbers, fitted on the mean ratings of 110 excerpts; Eerola & Vuoskoski 2011, Psychology of Music
  39:18-49), half five rhythm and change features with equal weights. Tells fights from calm within
  one composer's work (.95) and calm from lively piano (.96). Across producers it is far less sure
  (.77): how loud and bright a mix is counts, and a lively piece may be meant as a calm one. It is
  not better than the mean spectral change alone except within one source.
- *valence*: major against minor by three published key profiles, minus half the dissonance. Right
  for piano pieces (.81), little better than chance across styles (.63, interval .39-.85, on nine
  happy against 21 sad or tense game tracks): it knows nothing of irony, words, culture or the
  sadness of slow major.
- *tension*: .51 arousal - .78 valence, the weights that explain human tension ratings of the same
  110 excerpts from their ratings of energy and valence (R^2 .94). Finds the tense variant of one
  and the same theme (15 of 15 pairs), but inherits the doubt of valence elsewhere.
- *pace*: onsets a second and the centroid of their rhythm. Not tempo: the tempo of a machine is
  often an octave off.
- *brightness*: mean log centroid of the spectrum; what it measures is exact, but it is a matter of
  timbre, not of mood.

None of them hears words, instruments, quotation or style. On ten-second windows arousal is steady
(spread .32 within a track, 1 between tracks), valence less so (.50): better take it per track.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["AXES", "AXIS_LIMIT", "film_energy", "music_axes"]

Doubles = NDArray[np.float64]

AXES = ("arousal", "valence", "tension", "pace", "brightness")
AXIS_LIMIT = 2.5

# Mean and standard deviation over the 85 reference tracks, in the order of affect_features.AFFECT;
# printed by `benchmarks/music_affect.py --reference`.
_AFFECT_MEAN = np.array([-1.540, 1.098, -1.441, 0.483, 5.998, -0.049, 0.007, -0.064, 0.854, 10.344])
_AFFECT_SD = np.array([0.419, 0.579, 0.509, 0.210, 0.859, 0.151, 0.151, 0.149, 0.081, 0.670])
# Of the composites on the same tracks, so that every axis has unit spread there.
_ENERGY_MEAN, _ENERGY_SD = 7.103, 1.871
_RHYTHM_SD, _AROUSAL_SD, _VALENCE_SD, _PACE_SD = 0.804, 0.912, 1.149, 1.829

# Ridge regression of rated energy (1-9) on the 25 timbre numbers of the 110 excerpts, in the order
# of affect_features.TIMBRE: mean, standard deviation and weight of each (alpha 2.98).
_FILM_INTERCEPT = 5.486
_FILM = np.array(
    [
        (-26.88, 6.20, 0.139), (7.138, 0.348, 0.293), (7.350, 0.248, -0.070),
        (7.761, 0.419, 0.546), (-2.785, 0.443, -0.289),
        (-285.2, 109.5, 1.164), (140.8, 30.9, -0.058), (-12.85, 22.60, 0.063),
        (24.88, 14.10, -0.232), (-0.81, 10.96, 0.242), (4.55, 8.05, -0.089),
        (-3.95, 8.20, -0.018), (-0.01, 8.81, -0.303), (-5.29, 7.83, 0.464),
        (1.07, 7.24, -0.509), (-5.93, 6.01, 0.552), (-0.43, 6.36, -0.290),
        (-3.71, 5.89, 0.498), (-0.93, 5.68, 0.013), (-3.04, 5.51, -0.428),
        (0.49, 6.09, 0.763), (-1.87, 5.19, -0.344), (1.72, 4.76, -0.168),
        (-1.99, 5.46, 0.380), (0.97, 7.23, -0.764),
    ]
)  # fmt: skip

_COMPONENT_LIMIT = 4.0
"""Not tighter: quiet solo piano lies far out on single features and is still right in sum."""
_RHYTHM = slice(0, 5)
_MODES = slice(5, 8)
_RATE, _MODULATION, _ENTROPY, _BRIGHTNESS = 1, 4, 8, 9


def film_energy(timbre: Doubles) -> Doubles:
    """Predict the energy that people hear in film music, on their scale of 1 to 9.

    Args:
        timbre: [..., 25] in the order of `affect_features.TIMBRE`.
    """
    mean, sd, weight = _FILM.T
    return np.asarray(_FILM_INTERCEPT + ((timbre - mean) / sd) @ weight)


def music_axes(affect: Doubles, timbre: Doubles) -> Doubles:
    """Return [..., 5] the axes in the order of AXES, in -2.5..2.5.

    Args:
        affect: [..., 10] in the order of `affect_features.AFFECT`.
        timbre: [..., 25] in the order of `affect_features.TIMBRE`.
    """
    z = np.clip((affect - _AFFECT_MEAN) / _AFFECT_SD, -_COMPONENT_LIMIT, _COMPONENT_LIMIT)
    energy = (film_energy(timbre) - _ENERGY_MEAN) / _ENERGY_SD
    rhythm = z[..., _RHYTHM].mean(axis=-1) / _RHYTHM_SD
    arousal = (energy + rhythm) / 2 / _AROUSAL_SD
    valence = (z[..., _MODES].mean(axis=-1) - 0.5 * z[..., _ENTROPY]) / _VALENCE_SD
    tension = 0.51 * arousal - 0.78 * valence
    pace = (z[..., _RATE] + z[..., _MODULATION]) / _PACE_SD
    axes = np.stack([arousal, valence, tension, pace, z[..., _BRIGHTNESS]], axis=-1)
    return np.asarray(np.clip(axes, -AXIS_LIMIT, AXIS_LIMIT))
