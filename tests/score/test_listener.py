"""A listener's history decides where the picture leaves it open, and not where it does not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from examples.sample_film import make_film
from segue.cli import root
from segue.core.errors import DataError, UsageError
from segue.core.options import run
from segue.score.choose import choose
from segue.score.config import ChooseSettings, ListenerSettings, ScoreConfig
from segue.score.listener import apart, read_listener, with_favour
from segue.score.pipeline import score
from segue.score.report import render
from segue.tasks.soundtrack.agents import make_agent
from segue.tasks.soundtrack.tables import Tables, Weights
from tests.score.conftest import Sample
from tests.score.report_sample import sample_extras, sample_result
from tests.score.test_report import HOSTILE, Page
from tests.synthetic_audio import noise

SETTINGS = ["segments.min_s=1", "segments.max_s=3", "workers=1"]
RATE_HZ = 22_050


def scored(film: Path, library: Path, out: Path, *more: str, listener: str | None = None) -> dict:
    config = ScoreConfig.load(assignments=[*SETTINGS, *more])
    return score(film, library, out, config, listener=listener, overwrite=True)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_film(tmp_path_factory.mktemp("film") / "film.mp4", 96, 54, shorten=0.1)


@pytest.fixture(scope="module")
def library(sample: Sample, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every piece of the sample library twice, note for note the same, by two artists."""
    folder = tmp_path_factory.mktemp("library")
    for path in sorted(sample.library.iterdir()):
        samples, rate_hz = soundfile.read(path)
        for artist in ("Ann", "Bo"):
            name = folder / f"{path.stem} by {artist}.flac"
            with soundfile.SoundFile(name, "w", rate_hz, 2, "PCM_16", format="FLAC") as file:
                file.artist, file.title = f"{artist} Example", path.stem
                file.genre = {"Ann": "Ambient", "Bo": "Jazz; Swing"}[artist]
                file.write(samples)
    soundfile.write(folder / "Cy Example - Buzz.wav", noise(8, 3), RATE_HZ)
    soundfile.write(folder / "four.wav", noise(8, 4), RATE_HZ)
    return folder


@pytest.fixture(scope="module")
def plain(film: Path, library: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    out = tmp_path_factory.mktemp("plain") / "out"
    return out, scored(film, library, out)


def artists(result: dict) -> set[str]:
    return {segment["track"].partition(" by ")[2] for segment in result["segments"]}


@pytest.mark.parametrize(("artist", "other"), [("Ann", "Bo"), ("Bo", "Ann")])
def test_of_tracks_that_fit_alike_the_loved_artist_s_play(
    artist: str, other: str, film: Path, library: Path, tmp_path: Path
) -> None:
    history = tmp_path / "history.csv"
    name = f"{artist} example".upper()
    rows = [f"{name},Something else {i},{1_600_000_000 + 1000 * i}" for i in range(20)]
    history.write_text("\n".join(["artist,title,time", *rows, "Cy Example,,1600000000"]))
    result = scored(film, library, tmp_path / "out", listener=str(history))
    assert artists(result) == {f"{artist}.flac"}
    facts = result["listener"]
    assert facts["library"] == {
        "tracks": 10, "by_track": 0, "by_artist": 4, "by_genre": 0, "not_in_history": 5,
        "without_name": 1, "by_file_name": 1,
    }  # fmt: skip
    assert (facts["unreadable"], facts["lines"], facts["plays"]) == (1, 21, 20)
    assert "line 22, no artist or no title" in facts["first_unreadable"]
    assert all(f"by {artist}" in favourite["track"] for favourite in facts["favourites"])
    assert "artist heard 20 times" in facts["favourites"][0]["reason"]
    assert facts["without_name"] == ["four.wav"]
    assert any("1 track of the library" in t and "four.wav" in t for t in result["warnings"])
    for change in facts["changed"]:
        assert other in change["without"]
    for segment in result["segments"]:
        assert segment["listener"]["score"] > 0.3  # of .35 for the artist and .15 for the genre
        earned = 0.3 * segment["listener"]["score"]
        assert segment["terms"]["listener"] == pytest.approx(earned, abs=1e-4)
    assert sum(result["terms"].values()) == pytest.approx(result["reward"])
    assert result["reward"] <= result["upper_bound"] + 1e-9
    page = (tmp_path / "out" / "report.html").read_text()
    for words in ("The listener", "liked by the listener", "artist heard 20 times"):
        assert words in page
    assert "1 of 21 lines unreadable" in page


def test_mood_wins_where_the_fit_differs_much(
    film: Path, library: Path, plain: tuple[Path, dict], tmp_path: Path
) -> None:
    """The loved piece is calm and the film is not (.99 less fit and more, weight .3)."""
    result = scored(film, library, tmp_path / "out", listener="Ann Example - slow-morning; " * 30)
    facts = result["listener"]
    assert facts["favourites"][0]["track"] == "slow-morning by Ann.flac"
    assert facts["favourites"][0]["score"] > 0.8
    pieces = [segment["track"].partition(" by ")[0] for segment in result["segments"]]
    assert pieces == [s["track"].partition(" by ")[0] for s in plain[1]["segments"]]
    assert "slow-morning" not in pieces
    assert artists(result) == {"Ann.flac"}  # of the same piece twice, the loved artist's
    assert facts["fit"] == pytest.approx(facts["fit_without"])


def test_a_greater_weight_overrules_the_mood(film: Path, library: Path, tmp_path: Path) -> None:
    result = scored(
        film, library, tmp_path / "out", "listener.weight=10",
        listener="Ann Example - slow-morning; " * 30,
    )  # fmt: skip
    assert {s["track"] for s in result["segments"]} == {"slow-morning by Ann.flac"}
    assert len(result["listener"]["changed"]) == len(result["segments"])
    assert result["listener"]["fit"] < result["listener"]["fit_without"] - 1
    assert "in place of" in (tmp_path / "out" / "report.html").read_text()


def test_without_the_option_nothing_changes(
    film: Path, library: Path, plain: tuple[Path, dict], tmp_path: Path
) -> None:
    """And a history that knows nothing of the library chooses the same, and says so."""
    out, first = plain
    assert "listener" not in json.loads((out / "result.json").read_text())
    assert all("listener" not in segment for segment in first["segments"])
    assert "listener" not in (out / "report.html").read_text()
    again = scored(film, library, tmp_path / "out", listener="Nobody - Nothing")
    assert [s["track"] for s in again["segments"]] == [s["track"] for s in first["segments"]]
    assert again["reward"] == first["reward"]
    assert again["listener"]["changed"] == []
    assert any("choice is as without it" in text for text in again["warnings"])


def test_the_step_is_done_again_for_another_history_and_not_for_the_same(
    film: Path, library: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    history = tmp_path / "h.txt"

    def choices(*more: str) -> int:
        scored(film, library, out, *more, listener=str(history))
        return len(list((out / "run" / "steps" / "choose").iterdir()))

    history.write_text("Ann Example - run\n")
    assert choices() == 1
    history.write_text("\n# not a play\nAnn Example – run\n")
    assert choices() == 1  # the same plays
    history.write_text("Bo Example - run\n")
    assert choices() == 2
    assert choices("listener.weight=0.5") == 3


def test_the_command_takes_it_and_the_report_repeats_it(
    film: Path, library: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    words = ["score", str(film), "--library", str(library), "--out", str(out)]
    for setting in SETTINGS:
        words += ["--set", setting]
    assert run(root, [*words, "--listener", "Bo Example - run"]) == 0
    said = capsys.readouterr().out
    assert "listener: of 10 tracks 1 heard" in said
    page = (out / "report.html").read_text()
    assert "--listener &#x27;Bo Example - run&#x27;" in page


@pytest.mark.parametrize(
    ("history", "error", "words"),
    [
        ("", UsageError, "history is empty"),
        ("nothing", DataError, "no such file"),
        ("a - b.csv", DataError, "no such file"),
        ("/proc/self", DataError, "a folder"),
    ],
)
def test_a_bad_history_is_refused_before_any_work(
    history: str, error: type[Exception], words: str, film: Path, library: Path, tmp_path: Path
) -> None:
    with pytest.raises(error, match=words):
        score(film, library, tmp_path / "out", listener=history)
    assert not (tmp_path / "out").exists()


def test_a_listener_without_a_library_is_a_contradiction() -> None:
    with pytest.raises(UsageError, match="no library"):
        read_listener("a - b", ListenerSettings(), None)
    assert read_listener(None, ListenerSettings(), None) is None


# --- the term in the tables ----------------------------------------------------------------------


@pytest.fixture
def tables() -> Tables:
    """Three segments, three tracks: the second fits a little less well, the third much less."""
    embeddings = np.eye(3)
    return Tables(
        lengths_s=np.full(3, 10.0),
        durations_s=np.full(3, 60.0),
        alignment=np.tile([1.0, 0.9, 0.2], (3, 1)),
        transition=np.ones((3, 3)),
        gate=np.ones(3),
        embeddings=embeddings,
        target_values=np.zeros(1, dtype=np.int64),
        target_probabilities=np.ones(1),
        weights=Weights(silence=1.0),
    )


@pytest.mark.parametrize(
    ("favour", "track"), [([0, 0, 0], 0), ([0, 0.3, 0], 1), ([0, 0, 0.3], 0), ([0, 0, 0.9], 2)]
)
@pytest.mark.parametrize("policy", ["planner", "rl", "greedy"])
def test_a_preference_is_worth_its_weight(
    favour: list[float], track: int, policy: str, tables: Tables
) -> None:
    found = choose(tables, {}, ChooseSettings(policy=policy), 0, None, np.array(favour))
    if policy != "rl":  # a trained policy need not see a difference of a few hundredths
        assert found["tracks"] == [track] * 3
    terms = found["terms"]
    fit = sum(tables.alignment[t, k] for t, k in enumerate(found["tracks"]))
    assert terms["alignment"] == pytest.approx(fit)
    assert terms["listener"] == pytest.approx(sum(favour[k] for k in found["tracks"]))
    assert sum(terms.values()) == pytest.approx(found["reward"])
    assert found["without_listener"]["fit"] == pytest.approx(3.0)


def test_without_a_preference_the_choice_has_no_such_term(tables: Tables) -> None:
    found = choose(tables, {}, ChooseSettings(), 0)
    assert "listener" not in found["terms"]
    assert "without_listener" not in found


def test_a_preference_needs_no_weight_of_the_fit(tables: Tables) -> None:
    deaf = replace(tables, weights=replace(tables.weights, alignment=0.0))
    favour = np.array([0.0, 0.0, 0.1])
    changed = with_favour(deaf, favour)
    plan = make_agent("planner").plan(changed, np.random.default_rng(0))
    assert plan.tracks.tolist() == [2, 2, 2]
    terms, steps = apart(plan, favour)
    assert terms["alignment"] == pytest.approx(0)
    assert steps["listener"].tolist() == pytest.approx([0.1] * 3)


def test_a_forbidden_track_stays_forbidden(tables: Tables) -> None:
    alignment = tables.alignment.copy()
    alignment[1, 2] = -np.inf
    for weight in (1.0, 0.0):
        barred = replace(
            tables, alignment=alignment, weights=replace(tables.weights, alignment=weight)
        )
        assert with_favour(barred, np.array([0, 0, 5.0])).alignment[1, 2] == -np.inf


def test_the_report_is_whole_with_hostile_names() -> None:
    result = sample_result()
    said = {"score": 0.5, "reason": HOSTILE}
    result["segments"][0] |= {"track": HOSTILE, "listener": said}
    result["listener"] = {
        "history": HOSTILE, "plays": 3, "lines": 4, "unreadable": 1, "first_unreadable": HOSTILE,
        "library": {"tracks": 9, "by_track": 2, "by_genre": 1}, "fit": 1.0, "fit_without": 1.5,
        "favourites": [{"track": "loved.ogg", "score": 0.9, "reason": HOSTILE}],
        "changed": [{"segment": 0, "track": HOSTILE, "without": HOSTILE}],
    }  # fmt: skip
    page = Page(render(result, sample_extras()))
    assert not page.all("img")
    assert len(page.all("script")) == 1
    for words in ("2 heard, 1 of genres heard", "loved.ogg", "not chosen", "changed by −0.500"):
        assert words in page.text
    result["listener"] = {}
    assert "The listener" not in Page(render(result, sample_extras())).text
