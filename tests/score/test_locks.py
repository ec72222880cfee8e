"""What can be locked, and what is said when it cannot."""

from __future__ import annotations

import pytest

from segue.core.errors import UnknownName, UsageError
from segue.score.locks import Locks, asks_to_compose, check_form, parse_locks

NAMES = ("calm.ogg", "deep/calm.ogg", "run.mp3")


def test_tracks_are_found_by_path_name_and_stem_and_music_can_be_composed() -> None:
    locks = parse_locks(["0=run", "1=deep/calm.ogg", " 2 = run.mp3", "3=compose"], NAMES, 4)
    assert locks == Locks({0: 2, 1: 1, 2: 2}, frozenset({3}))
    assert asks_to_compose(["0=run", "3=compose"])
    assert not asks_to_compose(["0=run"])
    assert parse_locks(["0=run", "0=run.mp3"], NAMES, 1).tracks == {0: 2}


@pytest.mark.parametrize("text", ["calm", "=calm", "x=calm", "-1=calm", "1.5=calm", "²=calm"])
def test_other_forms_are_refused_before_anything_is_known(text: str) -> None:
    with pytest.raises(UsageError, match="SEGMENT=TRACK"):
        check_form([text])


@pytest.mark.parametrize(
    ("texts", "kind", "words"),
    [
        (["4=run"], UsageError, "no segment 4"),
        (["0=calm"], UnknownName, "several tracks"),
        (["0=run.mp4"], UnknownName, "'run.mp3'"),
        (["0=compos"], UnknownName, "'compose'"),
        (["0=run", "0=deep/calm.ogg"], UsageError, "locked to two tracks"),
        (["0=run", "0=compose"], UsageError, "locked to a track and composed"),
    ],
)
def test_what_cannot_be_locked(texts: list[str], kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        parse_locks(texts, NAMES, 4)
