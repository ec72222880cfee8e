"""Piano rolls show each note where it belongs, in the colour of its part."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from PIL import Image

from segue.core.errors import SegueError
from segue.music.notes import Note, Part, Piece
from segue.music.roll import bar_lines, draw_roll
from segue.music.theory import C_MAJOR, Key

PIECE = Piece(
    (
        Part((Note(0, 60, 480), Note(480, 61, 960, 50), Note(1920, 67, 3840)), 73, name="melody"),
        Part((Note(0, 48, 1920), Note(1920, 43, 3840)), 32, name="$bass_"),
    ),
    title="A tune",
)  # fmt: skip


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that were saved, for a look inside."""
    saved: list[Figure] = []
    save = Figure.savefig

    def keep(self: Figure, *args: Any, **options: Any) -> None:
        saved.append(self)
        save(self, *args, **options)

    monkeypatch.setattr(Figure, "savefig", keep)
    return saved


def boxes(figure: Figure) -> list[list[tuple[float, float, float, float]]]:
    """(start, end, low, high) of the boxes of each collection."""
    found = []
    for collection in figure.axes[0].collections:
        assert isinstance(collection, PolyCollection)
        corners = [path.vertices[:4] for path in collection.get_paths()]
        found.append([(*c[:, 0][[0, 1]], *c[:, 1][[0, 2]]) for c in corners])
    return found


def test_every_note_is_a_box_at_its_time_and_pitch(tmp_path: Path, figures: list[Figure]) -> None:
    path = tmp_path / "folder" / "roll.png"
    draw_roll(PIECE, path, key=C_MAJOR)
    melody, foreign, bass = boxes(figures[0])
    for part, drawn in zip(PIECE.parts, (melody, bass), strict=True):
        assert [(start, end, (low + high) / 2) for start, end, low, high in drawn] == [
            (n.start, n.end, n.pitch) for n in part.notes
        ]
    assert [box[:2] for box in foreign] == [(480, 960)]  # C sharp alone is not in C major
    axis = figures[0].axes[0]
    assert axis.get_xlim() == (0, 3840)
    assert [label.get_text() for label in axis.get_xticklabels()] == ["1", "2"]
    assert [t.get_text() for t in axis.get_legend().get_texts()] == ["melody", "\\$bass_"]
    assert figures[0].get_suptitle() == "A tune (C major)"
    rows = {label.get_text() for label in axis.get_yticklabels()}
    assert {"C4", "G4", "C3"} <= rows
    assert "C#4" not in rows
    image = np.asarray(Image.open(path).convert("RGB")).astype(int)
    blue = (image[..., 2] > image[..., 0] + 60).mean()
    orange = (image[..., 0] > image[..., 2] + 60).mean()
    assert 0.005 < blue < 0.2
    assert 0.005 < orange < 0.2


def test_louder_notes_are_darker_and_nothing_is_marked_without_a_key(
    tmp_path: Path, figures: list[Figure]
) -> None:
    draw_roll(PIECE, tmp_path / "roll.png")
    collections = figures[0].axes[0].collections
    assert len(collections) == 2
    alpha = collections[0].get_facecolor()[:, 3]
    np.testing.assert_allclose(alpha, [0.3 + 0.7 * v / 127 for v in (100, 50, 100)])


def test_the_key_decides_what_is_foreign(tmp_path: Path, figures: list[Figure]) -> None:
    for key, n_foreign in ((Key(6), 2), (Key(7), 1), (Key(0, "locrian"), 1)):
        draw_roll(PIECE, tmp_path / "roll.png", key=key)
        inside = [n.pitch in key for n in PIECE.parts[0].notes]
        drawn = boxes(figures[-1])
        assert inside.count(False) == n_foreign
        assert len(drawn[1]) == n_foreign


def test_classes_of_a_melody(tmp_path: Path, figures: list[Figure]) -> None:
    draw_roll(np.array([14, 1, 0, 1, 16, 1, 1, 1]), tmp_path / "roll.png", title="eight steps")
    assert [(b[0], b[1], round((b[2] + b[3]) / 2)) for b in boxes(figures[0])[0]] == [
        (0, 240, 60), (480, 960, 62),
    ]  # fmt: skip
    assert figures[0].get_suptitle() == "eight steps"


@pytest.mark.parametrize(
    ("meters", "end", "wanted"),
    [
        (((0, 4, 4),), 3840, [0, 1920, 3840]),
        (((0, 4, 4),), 3841, [0, 1920, 3840, 5760]),
        (((0, 3, 4),), 100, [0, 1440]),
        (((0, 6, 8), (2880, 2, 4)), 4800, [0, 1440, 2880, 3840, 4800]),
        (((0, 4, 4), (1000, 3, 4)), 2000, [0, 1000, 2440]),
        (((0, 4, 4), (9000, 3, 4)), 1000, [0, 1920]),
        (((960, 4, 4),), 2000, [0, 960, 2880]),
        (((0, 4, 4),), 0, [0, 1920]),
    ],
)
def test_bars(meters: tuple[tuple[int, int, int], ...], end: int, wanted: list[int]) -> None:
    notes = (Note(0, 60, end),) if end else ()
    assert bar_lines(Piece((Part(notes),), meters=meters)) == wanted


def test_extremes(tmp_path: Path, figures: list[Figure]) -> None:
    """Nothing at all, the whole range, an hour of music, letters that no font here has."""
    draw_roll(Piece(()), tmp_path / "a.png")
    assert figures[0].get_suptitle() == "no notes"
    wide = Piece((Part((Note(0, 0, 480), Note(480, 127, 960))),), title="歌 $_x")
    draw_roll(wide, tmp_path / "b.png", key=C_MAJOR)
    long = Piece((Part(tuple(Note(480 * i, 60 + i % 12, 480 * i + 480) for i in range(7200))),))
    draw_roll(long, tmp_path / "c.png")
    for name in "abc":
        with Image.open(tmp_path / f"{name}.png") as image:
            assert 300 < image.height < 1400
            assert 700 < image.width < 2700
    assert len(figures[2].axes[0].lines) <= 301


def test_drums_are_not_out_of_key(tmp_path: Path, figures: list[Figure]) -> None:
    drums = Piece((Part((Note(0, 37, 100),), is_drum=True, name="drums"),))
    draw_roll(drums, tmp_path / "roll.png", key=C_MAJOR)
    assert len(boxes(figures[0])) == 1


def test_the_same_piece_gives_the_same_bytes_and_no_state(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        draw_roll(PIECE, tmp_path / name, key=C_MAJOR)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or not pyplot.get_fignums()


def test_a_failure_leaves_no_half_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Figure, *args: Any, **options: Any) -> None:
        raise SegueError("full")

    monkeypatch.setattr(Figure, "savefig", fail)
    with pytest.raises(SegueError):
        draw_roll(PIECE, tmp_path / "roll.png")
    assert list(tmp_path.iterdir()) == []
