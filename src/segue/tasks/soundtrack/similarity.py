"""How alike two things are: cosines, and all that a hand-over between two tracks is judged by.

    bpm      = -|bpm_k - bpm_j| / 100
    spectral = -|centroid_k - centroid_j| / 2000
    mfcc     = (cos(mfcc_k, mfcc_j) - 1) / 2
    energy   = -|energy_k - energy_j|                      (reported, not rewarded)
    semantic = (cos(e_k, e_j) + 1) / 2
    acoustic = (bpm + spectral + mfcc) / 3 + 1
    transition = (semantic + acoustic) / 2

How well track k fits segment t, with v, x the segment's picture and caption vectors, e, y the
track's, and rv, rx the reference vectors of the prior:

    alignment = 3/2 (cos(v_t, e_k) - cos(rv, e_k) + 0.2) + 5/4 (cos(x_t, y_k) - cos(rx, y_k) + 0.3)
    gate      = exp(-5 (1 - cos(v_t, v_t-1)))

Without captions the second half of the alignment is left out.

cos(a, b) is 0 when either vector is not longer than 1e-6. Letters: `K` tracks, `T` segments,
`D` dimensions; the first index of a [K, K] table is the new track, the second the previous one.
"""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from segue.tasks.soundtrack.data import Dataset, Video

__all__ = [
    "ZERO_NORM",
    "Fits",
    "HandOvers",
    "cosines",
    "fits",
    "hand_overs",
    "neighbour_cosines",
    "units",
]

Floats = NDArray[np.float64]

ZERO_NORM = 1e-6
"""A vector not longer than this has no direction."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HandOvers:
    """Every hand-over between two tracks of a library, [K, K] each."""

    audio: Floats
    """cos(e_k, e_j)."""
    caption: Floats
    """cos(y_k, y_j); 0 without captions."""
    tempo: Floats
    energy: Floats
    spectral: Floats
    mfcc: Floats
    semantic: Floats
    acoustic: Floats
    transition: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fits:
    """How well every track fits every segment of one video, and how smooth its picture is."""

    picture: Floats
    """[T, K] cos(v_t, e_k)."""
    picture_reference: Floats
    """[K] cos(rv, e_k)."""
    caption: Floats
    """[T, K] cos(x_t, y_k); 0 without captions."""
    caption_reference: Floats
    """[K] cos(rx, y_k); 0 without captions."""
    alignment: Floats
    """[T, K] before fading."""
    picture_step: Floats
    """[T] cos(v_t, v_t-1), the first is 1."""
    caption_step: Floats
    """[T] cos(x_t, x_t-1), the first is 1; 1 without captions."""
    gate: Floats
    """[T] how much a smooth hand-over matters; the first is 1."""


def units(vectors: Floats) -> Floats:
    """Return the rows at length 1; one that is as good as zero becomes zero. [N, D] -> [N, D]."""
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.where(norms > ZERO_NORM, vectors / np.maximum(norms, ZERO_NORM), 0.0)


def cosines(left: Floats, right: Floats) -> Floats:
    """Return the cosine of every pair of rows: [N, D], [M, D] -> [N, M]."""
    return np.asarray(units(left) @ units(right).T)


def neighbour_cosines(vectors: Floats) -> Floats:
    """Return cos(v_t, v_t-1), [T, D] -> [T]; the first is 1, for it has no predecessor."""
    rows = units(vectors)
    result = np.ones(len(rows))
    result[1:] = np.einsum("td,td->t", rows[1:], rows[:-1])
    return result


def fits(
    dataset: Dataset, video: Video, picture_reference: Floats, caption_reference: Floats | None
) -> Fits:
    """Return how well the library of `dataset` fits `video`.

    Args:
        dataset: gives the tracks.
        video: gives the segments.
        picture_reference: [D], the prior's.
        caption_reference: [E], the prior's; None leaves captions out.
    """
    pictures, audio = video.embeddings, dataset.track_embeddings
    picture = cosines(pictures, audio)
    reference = cosines(picture_reference[None], audio)[0]
    alignment = 3.0 * (picture - reference + 0.2)
    captions, texts = video.text_embeddings, dataset.track_text_embeddings
    caption, above = np.zeros_like(picture), np.zeros_like(reference)
    caption_step = np.ones(len(pictures))
    if captions is not None and texts is not None and caption_reference is not None:
        caption = cosines(captions, texts)
        above = cosines(caption_reference[None], texts)[0]
        alignment += 2.5 * (caption - above + 0.3)
        caption_step = neighbour_cosines(captions)
    picture_step = neighbour_cosines(pictures)
    return Fits(
        picture=picture,
        picture_reference=reference,
        caption=caption,
        caption_reference=above,
        alignment=alignment / 2.0,
        picture_step=picture_step,
        caption_step=caption_step,
        gate=np.exp(-5.0 * (1.0 - picture_step)),
    )


def hand_overs(dataset: Dataset) -> HandOvers:
    """Return the tables of every hand-over in the library of `dataset`, computed once."""
    if dataset not in _HAND_OVERS:
        _HAND_OVERS[dataset] = _hand_overs(dataset)
    return _HAND_OVERS[dataset]


_HAND_OVERS: WeakKeyDictionary[Dataset, HandOvers] = WeakKeyDictionary()


def _hand_overs(dataset: Dataset) -> HandOvers:
    tracks, texts = dataset.tracks, dataset.track_text_embeddings
    audio = cosines(dataset.track_embeddings, dataset.track_embeddings)
    caption = np.zeros_like(audio) if texts is None else cosines(texts, texts)
    mfccs = np.array([track.mfcc for track in tracks], dtype=np.float64)
    tempo = -_gaps([track.tempo_bpm for track in tracks]) / 100.0
    spectral = -_gaps([track.centroid_hz for track in tracks]) / 2000.0
    mfcc = (cosines(mfccs, mfccs) - 1.0) / 2.0
    semantic = (audio + 1.0) / 2.0
    acoustic = (tempo + spectral + mfcc) / 3.0 + 1.0
    return HandOvers(
        audio=audio,
        caption=caption,
        tempo=tempo,
        energy=-_gaps([track.energy for track in tracks]),
        spectral=spectral,
        mfcc=mfcc,
        semantic=semantic,
        acoustic=acoustic,
        transition=(semantic + acoustic) / 2.0,
    )


def _gaps(values: list[float]) -> Floats:
    column = np.array(values, dtype=np.float64)
    return np.abs(column[:, None] - column[None, :])
