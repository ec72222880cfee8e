"""Piano rolls: time to the right, pitch upward, a colour for each part, as PNG."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.core.files import atomic_path
from segue.music.events import notes_from_classes
from segue.music.notes import Note, Part, Piece
from segue.music.theory import Key, pitch_name

__all__ = ["bar_lines", "draw_roll"]

_DPI = 110
_BAR_INCHES = 0.9
_WIDTH_INCHES = (7.0, 24.0)
_PITCH_INCHES = 0.14
_HEIGHT_INCHES = (3.0, 12.0)
_MOST_LINES = 300
"""Bar lines beyond this number would be a grey area."""
_MARGIN = 2
"""Semitones above the highest and below the lowest note."""
_BLACK_KEYS = (1, 3, 6, 8, 10)
_SHADE, _FOREIGN = "0.93", "#c00020"


def draw_roll(
    piece: Piece | Sequence[int] | NDArray[np.integer[Any]],
    path: Path,
    *,
    key: Key | None = None,
    title: str = "",
) -> None:
    """Draw a piece, or the classes of a melody, as PNG; louder notes are darker.

    Args:
        piece: what to draw; classes as in `segue.music.events`, one per sixteenth.
        path: where to.
        key: notes outside it get a red frame, and its scale stands out; None marks nothing.
        title: above the roll; the piece's own without one.
    """
    # The object interface: no global state, no window, usable from any thread.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if not isinstance(piece, Piece):
        piece = Piece((Part(notes_from_classes(list(map(int, piece)))),))
    parts = [part for part in piece.parts if part.notes]
    pitches = [note.pitch for part in parts for note in part.notes] or [60, 72]
    low, high = min(pitches) - _MARGIN, max(pitches) + _MARGIN
    lines = bar_lines(piece)
    size = (
        float(np.clip(1.5 + _BAR_INCHES * (len(lines) - 1), *_WIDTH_INCHES)),
        float(np.clip(1.2 + _PITCH_INCHES * (high - low), *_HEIGHT_INCHES)),
    )
    figure = Figure(figsize=size, dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    _draw_rows(axis, low, high, key)
    _draw_bars(axis, lines)
    for number, part in enumerate(parts):
        _draw_part(axis, part, f"C{number % 10}", key)
    axis.set(xlim=(0, lines[-1]), ylim=(low - 0.5, high + 0.5), xlabel="bar")
    if len(parts) > 1 or (parts and parts[0].name):
        for number, part in enumerate(parts):  # an empty bar each, for its colour
            axis.bar(
                [0], [0], color=f"C{number % 10}", label=_text(part.name or f"part {number + 1}")
            )
        axis.legend(
            loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize="x-small", frameon=False
        )  # fmt: skip
    caption = _text(title or piece.title) + (f" ({key})" if key and (title or piece.title) else "")
    figure.suptitle(caption if parts else f"{caption}: no notes".removeprefix(": "), fontsize=10)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": "segue"})


def bar_lines(piece: Piece) -> list[int]:
    """Return the ticks at which bars begin, and the one at which the last bar ends.

    Bars follow the time signatures; a change inside a bar begins a new one.
    """
    ticks = [tick for tick, _, _ in piece.meters]
    lines = [0]
    while lines[-1] < max(piece.end, 1):
        number = bisect.bisect_right(ticks, lines[-1])
        _, beats, unit = piece.meters[number - 1] if number else (0, 4, 4)
        # Shorter than a sixteenth, it is no bar but a damaged file.
        bar = max(beats * 4 * piece.ticks_per_quarter // unit, piece.ticks_per_quarter // 4, 1)
        lines.append(min([lines[-1] + bar, *ticks[number : number + 1]]))
    return lines


def _draw_part(axis: Any, part: Part, colour: str, key: Key | None) -> None:
    from matplotlib.collections import PolyCollection
    from matplotlib.colors import to_rgb

    boxes = [_box(note) for note in part.notes]
    fill = np.ones((len(boxes), 4))
    fill[:, :3] = to_rgb(colour)
    fill[:, 3] = [0.3 + 0.7 * note.velocity / 127 for note in part.notes]
    axis.add_collection(
        PolyCollection(boxes, facecolors=fill, edgecolors="white", linewidths=0.4, zorder=3)
    )
    foreign = [
        box
        for box, note in zip(boxes, part.notes, strict=True)
        if key is not None and not part.is_drum and note.pitch not in key
    ]
    if foreign:
        axis.add_collection(
            PolyCollection(
                foreign, facecolors="none", edgecolors=_FOREIGN, linewidths=1.3, zorder=4
            )
        )


def _box(note: Note) -> NDArray[np.float64]:
    """Return the corners of a note, [4, 2] as ticks and pitch."""
    low, high = note.pitch - 0.42, note.pitch + 0.42
    return np.array([(note.start, low), (note.end, low), (note.end, high), (note.start, high)])


def _draw_rows(axis: Any, low: int, high: int, key: Key | None) -> None:
    """Shade what is outside the key, or the black keys without one; name the rows."""
    for pitch in range(low, high + 1):
        if (pitch not in key) if key else (pitch % 12 in _BLACK_KEYS):
            axis.axhspan(pitch - 0.5, pitch + 0.5, color=_SHADE, linewidth=0, zorder=0)
    tonic = key.tonic if key else 0
    if high - low > 40:
        named = [p for p in range(low, high + 1) if p % 12 == tonic]
    elif key:
        named = [p for p in range(low, high + 1) if p in key]
    else:
        named = [p for p in range(low, high + 1) if p % 12 not in _BLACK_KEYS]
    axis.set_yticks(named, [pitch_name(p) for p in named], fontsize=6)
    for label, pitch in zip(axis.get_yticklabels(), named, strict=True):
        label.set_fontweight("bold" if pitch % 12 == tonic else "normal")


def _draw_bars(axis: Any, lines: list[int]) -> None:
    """Draw bar lines and number the bars, from 1."""
    n_bars = len(lines) - 1
    for tick in lines[:: -(-len(lines) // _MOST_LINES)]:
        axis.axvline(tick, color="0.6", linewidth=0.6, zorder=1)
    every = next(n for n in (1, 2, 4, 8, 16, 32, 64, 10**9) if n_bars <= 40 * n)
    numbered = range(0, n_bars, every)
    axis.set_xticks([lines[i] for i in numbered], [str(i + 1) for i in numbered], fontsize=7)


def _text(name: str) -> str:
    """Return a name as a figure can show it: no formulas, no letters that the font lacks."""
    known = "".join(c if c.isprintable() and c < "\u0250" else "?" for c in name)
    # A legend leaves out labels that begin with an underscore.
    return known.replace("$", r"\$").replace("_", " _", known.startswith("_"))
