"""Where one shot ends and the next begins, found while the picture is decoded once.

Cuts come from FFmpeg's `scdet` filter on the picture at 160 columns, with threshold 8: at the
filter's default of 10, dark, smoky and low-contrast cuts are missed, and below 8 flashes and fast
foregrounds are found. A passage of black also ends a shot, at its end, which covers fades. Limits
within 0.4 s are one. Dissolves are not seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from segue.core.errors import MediaError
from segue.media.opening import Faults, decode, decoding, open_media
from segue.media.source import picture_stream
from segue.media.video import Clock

__all__ = ["ShotFinder", "Shrinker", "SmallPicture", "find_cuts", "shots_between"]

THRESHOLD = 8.0
MERGE_S = Fraction(2, 5)
WIDTH = 160
_BLACK_LUMA = 32
_BLACK_SHARE = 0.98
_BLACK_S = Fraction(1, 10)
_MAX_HEIGHT = 640


@dataclass(frozen=True, slots=True)
class SmallPicture:
    """A frame at 160 columns, as stored (not turned)."""

    luma: NDArray[np.uint8]
    """[rows, columns], a view that is valid as long as `frame` lives."""
    score: float
    """scdet's score of a cut just before this frame, 0-100."""
    frame: Any
    """The scaled PyAV frame, yuv420p."""


class Shrinker:
    """FFmpeg's filter chain scale -> yuv420p -> scdet, rebuilt when the picture changes its size.

    Args:
        time_base: of the frames.
        transposed: the stored picture is shown turned by 90 degrees, so that its rows are scaled
            to 160.
    """

    def __init__(self, time_base: Fraction, *, transposed: bool = False) -> None:
        self._time_base = time_base
        self._transposed = transposed
        self._shape: tuple[int, int, str] | None = None
        self._source: Any = None
        self._sink: Any = None
        self._graph: Any = None

    def __call__(self, frame: Any) -> SmallPicture:
        """Return the small picture of the next frame."""
        shape = (frame.width, frame.height, frame.format.name)
        if shape != self._shape:
            self._build(*shape)
        self._source.push(frame)
        small = self._sink.pull()
        plane = small.planes[0]
        rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
        score = float(small.metadata.get("lavfi.scd.score", 0.0))
        return SmallPicture(rows[:, : plane.width], score, small)

    def _build(self, width: int, height: int, pixel_format: str) -> None:
        across, down = (height, width) if self._transposed else (width, height)
        rows = min(_MAX_HEIGHT, max(2, round(WIDTH * down / across / 2) * 2))
        small = (rows, WIDTH) if self._transposed else (WIDTH, rows)
        graph = av.filter.Graph()
        source = graph.add_buffer(
            width=width, height=height, format=pixel_format, time_base=self._time_base
        )
        scale = graph.add("scale", f"{small[0]}:{small[1]}:flags=fast_bilinear")
        plain = graph.add("format", "yuv420p")
        detect = graph.add("scdet", f"threshold={THRESHOLD}")
        sink = graph.add("buffersink")
        graph.link_nodes(source, scale, plain, detect, sink).configure()
        self._shape = (width, height, pixel_format)
        self._graph, self._source, self._sink = graph, source, sink


class ShotFinder:
    """Decides, frame by frame, where shots end."""

    def __init__(self) -> None:
        self.cuts_s: list[Fraction] = []
        """Limits between shots so far, without the start and the end of the picture."""
        self._last = Fraction(0)
        self._black_since: Fraction | None = None

    def push(self, start_s: Fraction, small: SmallPicture) -> bool:
        """Take the next frame; return whether a new shot starts with it."""
        black = np.count_nonzero(small.luma < _BLACK_LUMA) >= _BLACK_SHARE * small.luma.size
        light_again = (
            not black and self._black_since is not None and start_s - self._black_since >= _BLACK_S
        )
        if not black:
            self._black_since = None
        elif self._black_since is None:
            self._black_since = start_s
        if not (small.score >= THRESHOLD or light_again) or start_s - self._last < MERGE_S:
            return False
        self._last = start_s
        self.cuts_s.append(start_s)
        return True


def shots_between(cuts_s: list[Fraction], duration_s: Fraction) -> list[tuple[Fraction, Fraction]]:
    """Return (start, end) of every shot, covering [0, duration) without gaps."""
    limits = [Fraction(0), *(cut for cut in cuts_s if 0 < cut < duration_s), duration_s]
    return list(pairwise(limits))


def find_cuts(path: str | Path) -> list[Fraction]:
    """Return the limits between the shots of a file, in seconds of the picture's clock.

    Raises:
        MediaError: the file cannot be opened or has no picture.
    """
    finder = ShotFinder()
    with open_media(path) as container, decoding(path):
        stream = picture_stream(container)
        if stream is None:
            raise MediaError("there is no picture in it", where=path)
        stream.thread_type = "AUTO"
        clock, shrink = Clock(stream), Shrinker(stream.time_base)
        for frame in decode(container, stream, Faults()):
            start_s, _ = clock.place(frame)
            finder.push(start_s, shrink(frame))
    return finder.cuts_s
