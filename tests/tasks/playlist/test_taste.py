"""From a history to a preference: every number of the formula by hand."""

from __future__ import annotations

from collections.abc import Sequence
from math import log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue.core.errors import ConfigError
from segue.tasks.playlist.history import Heard, History
from segue.tasks.playlist.taste import Liking, Named, Taste, TasteSettings

DAY_S = 86_400
NOW = 1_600_000_000


def history(*plays: Heard) -> History:
    return History(plays=plays, source="text", n_lines=len(plays))


def judged(plays: Sequence[Heard], *library: Named, **settings: float) -> list[Liking]:
    return Taste(history(*plays), TasteSettings(**settings)).judge(library)


def song(artist: str, title: str, *genres: str) -> Named:
    return Named(artist=artist, title=title, genres=genres)


def test_plays_by_hand() -> None:
    """Two artists, no time passes: 6 and 2 plays; the most played track has 5, enough is 4."""
    plays = [Heard("A", "x", NOW)] * 5 + [Heard("A", "y", NOW)] + [Heard("B", "z", NOW)] * 2
    x, other, z, unknown = judged(
        plays, song("a", "X"), song("A", "never"), song("B", "z", "Jazz"), song("C", "x")
    )
    assert x.score == pytest.approx(0.5 + 0.35)
    assert x.reason == "heard 5 times; artist heard 6 times"
    assert other.score == pytest.approx(0.35)
    assert other.reason == "artist heard 6 times"
    share = log(3) / log(7)
    # Jazz is the only genre there is, heard twice; four plays are enough for a favourite.
    assert z.score == pytest.approx(0.5 * log(3) / log(6) + 0.35 * share + 0.15 * log(3) / log(5))
    assert z.reason == "heard twice; artist heard twice; genre Jazz heard twice"
    assert unknown.score == 0
    assert unknown.reason == "not in the history, nor its artist or genre"
    assert [one.by for one in (x, other, z, unknown)] == ["track", "artist", "track", ""]


def test_one_play_is_not_everything() -> None:
    (once,) = judged([Heard("A", "x")], song("A", "x"))
    assert once.score == pytest.approx(0.85 * log(2) / log(5))
    assert judged([Heard("A", "x")], song("A", "x"), enough=1)[0].score == pytest.approx(0.85)


def test_a_play_fades_by_half_in_every_half_life() -> None:
    plays = [Heard("A", "x", NOW - 180 * DAY_S), Heard("B", "y", NOW)]
    old, new = judged(plays, song("A", "x"), song("B", "y"), enough=1)
    assert old.track.faded == pytest.approx(0.5)
    assert old.score == pytest.approx(0.85 * log(1.5) / log(2))
    assert new.score == pytest.approx(0.85)
    (sooner,) = judged(plays, song("A", "x"), enough=1, half_life_days=90)
    assert sooner.track.faded == pytest.approx(0.25)


def test_without_times_plays_fade_by_the_plays_since() -> None:
    plays = [Heard("A", "x"), Heard("B", "y"), Heard("C", "z")]
    (first,) = judged(plays, song("A", "x"), half_life_plays=2)
    assert first.track.faded == pytest.approx(0.5)
    mixed = [Heard("A", "x"), Heard("B", "y", NOW - 180 * DAY_S), Heard("C", "z", NOW)]
    (oldest,) = judged(mixed, song("A", "x"))
    assert oldest.track.faded == pytest.approx(0.5)  # as old as the oldest with a time


def test_skips_lower_the_score_and_are_told() -> None:
    heard = [Heard("A", "x", NOW)] * 4 + [Heard("A", "y", NOW, True)] * 2
    x, y, other = judged(heard, song("A", "x"), song("A", "y"), song("A", "other"))
    kept = (1 + 4) / (1 + 4 + 2)
    assert other.score == pytest.approx(0.35 * kept)
    assert y.score == pytest.approx(other.score / 3)  # never heard out: 1 / (1 + 0 + 2)
    assert x.score == pytest.approx(0.5 + 0.35 * kept)
    assert y.reason == "broken off twice; artist heard 4 times and broken off twice"
    assert y.by == "track"


def test_genres_are_known_by_the_artists_of_the_library() -> None:
    plays = [Heard("A", "x", NOW)] * 3 + [Heard("B", "y", NOW)]
    library = [
        song("A", "other", "Rock"), song("A", "more", "ROCK", "Pop"),
        song("B", "y", "Rock", "Folk"), song("C", "new", "Folk", "rock"), song("D", "new", "Tango"),
    ]  # fmt: skip
    likings = judged(plays, *library)
    assert likings[3].genre.plays == 4  # each artist counts once, however many tracks there are
    assert likings[3].genre_name == "rock"
    assert likings[3].score == pytest.approx(0.15)
    assert likings[3].reason == "genre rock heard 4 times"
    assert likings[3].by == "genre"
    assert likings[4].score == 0


def test_weights_are_shares() -> None:
    plays = [Heard("A", "x", NOW)] * 4
    (liked,) = judged(plays, song("A", "y"), track=2, artist=6, genre=0)
    assert liked.score == pytest.approx(0.75)
    with pytest.raises(ConfigError, match="must be above 0"):
        TasteSettings.parse({"track": 0, "artist": 0, "genre": 0})
    with pytest.raises(ConfigError, match="half_life_days"):
        TasteSettings.parse({"half_life_days": 0})


@pytest.mark.parametrize(
    ("tags", "stem", "named"),
    [
        ({"artist": "A", "title": "t", "genre": "Rock; Other/Pop"}, "q - r",
         Named(artist="A", title="t", genres=("Rock", "Pop"))),
        ({"album_artist": "A", "title": "t"}, "q", Named(artist="A", title="t")),
        ({}, "A - t", Named(artist="A", title="t", by_file_name=True)),
        ({}, "07 - A – t", Named(artist="A", title="t", by_file_name=True)),
        ({}, "07. A - t", Named(artist="A", title="t", by_file_name=True)),
        ({}, "50 Cent - t", Named(artist="50 Cent", title="t", by_file_name=True)),
        ({}, "07 - t", Named(artist="", title="")),
        ({}, "track", Named(artist="", title="")),
        ({"title": "t"}, "track", Named(artist="", title="t")),
        ({"artist": "A"}, "07 - t", Named(artist="A", title="t", by_file_name=True)),
        ({"artist": "a"}, "A - t", Named(artist="a", title="t", by_file_name=True)),
        ({"artist": " ", "title": ""}, "A - t", Named(artist="A", title="t", by_file_name=True)),
    ],
)  # fmt: skip
def test_what_a_file_says_of_itself(tags: dict[str, str], stem: str, named: Named) -> None:
    assert Named.of(tags, stem) == named


def test_the_reason_says_where_a_name_comes_from() -> None:
    plays = [Heard("A", "x")]
    by_file, nameless = judged(plays, Named.of({}, "A - x"), Named.of({}, "track 1"))
    assert by_file.reason == "heard once; artist heard once (by its file name)"
    assert nameless.reason == "no artist in its tags or its file name"
    assert nameless.score == 0


def test_one_of_several_artists_is_enough() -> None:
    plays = [Heard("B", "x", NOW)] * 4
    liked = judged(plays, song("A; B", "y"), song("A / B", "y"), song("AB", "y"))
    assert [round(one.score, 6) for one in liked] == [0.35, 0.35, 0.0]


@given(
    st.lists(
        st.builds(
            Heard,
            st.sampled_from("AB"),
            st.sampled_from("xy"),
            st.none() | st.integers(1, 2 * NOW),
            st.none() | st.booleans(),
        ),
        min_size=1,
        max_size=30,
    )
)
def test_scores_stay_between_0_and_1(plays: list[Heard]) -> None:
    library = [song(a, t, g) for a in "ABC" for t in "xyz" for g in ("Rock", "Pop")]
    scores = [one.score for one in judged(plays, *library)]
    assert all(0 <= score <= 1 for score in scores)
    assert all(score == 0 for one, score in zip(library, scores, strict=True)
               if one.artist == "C" and not any(p.skipped is not True for p in plays))  # fmt: skip
