"""Reference vectors, switch budget, labels, names and clock texts."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from segue.core.errors import DataError, UsageError
from segue.tasks.soundtrack.budget import SwitchBudget, fit_budget, unlabelled_budget
from segue.tasks.soundtrack.config import SoundtrackConfig
from segue.tasks.soundtrack.formats import clock_seconds, reference_clock_seconds
from segue.tasks.soundtrack.labels import Change, changed_segments
from segue.tasks.soundtrack.matching import assign, closest, safe_name
from segue.tasks.soundtrack.prior import Prior, fit_prior, neutral_prior, sigma_of, split_videos
from segue.tasks.soundtrack.tables import build_tables
from tests.synthetic_soundtrack import make_dataset

SIGMAS = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
COUNTS = [1, 1, 2, 2, 3, 3, 4, 4, 9, 1]


def test_the_reference_budget_keeps_its_flaws() -> None:
    budget = fit_budget(SIGMAS, COUNTS, reference=True)
    assert [b.mean for b in budget.bins] == [1.0, 2.0, 3.0, 4.0, 9.0]  # 1.0 is in no bin
    assert budget.bin_of(0.01) is budget.bins[-1]
    few = fit_budget(SIGMAS[:3], COUNTS[:3], reference=True)
    assert any(math.isnan(b.mean) for b in few.bins)
    empty = next(b for b in few.bins if math.isnan(b.mean))
    with pytest.raises(DataError, match="undefined"):
        few.draw(empty.lower, 5, np.random.default_rng(0))


def test_the_repaired_budget_closes_the_last_bin_and_shrinks() -> None:
    budget = fit_budget(SIGMAS, COUNTS, shrinkage=0.0)
    assert [b.mean for b in budget.bins] == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert budget.bin_of(0.01) is budget.bins[0]
    assert budget.bin_of(7.0) is budget.bins[-1]
    shrunk = fit_budget(SIGMAS, COUNTS, shrinkage=2.0)
    assert [b.mean for b in shrunk.bins] == [2.0, 2.5, 3.0, 3.5, 4.0]  # the global mean is 3
    one = fit_budget([0.3], [2])
    assert all(math.isfinite(b.mean) and b.std > 0 for b in one.bins)


@pytest.mark.parametrize("reference", [False, True])
@pytest.mark.parametrize("kappa", [0.0, 1.0])
def test_the_distribution_is_that_of_the_draws(reference: bool, kappa: float) -> None:
    budget = fit_budget(SIGMAS, COUNTS, reference=reference)
    values, probabilities = budget.distribution(0.75, 4, kappa)
    assert probabilities.sum() == pytest.approx(1.0)
    rng = np.random.default_rng(0)
    drawn = np.array([budget.draw(0.75, 4, rng, kappa) for _ in range(4000)])
    assert set(drawn) <= set(values)
    for value, probability in zip(values, probabilities, strict=True):
        assert (drawn == value).mean() == pytest.approx(probability, abs=0.03)
    if not reference:
        assert values.min() >= 0
        assert values.max() <= 3


def test_the_prior_of_the_default_profile_does_not_see_the_test_videos() -> None:
    dataset = make_dataset(n_videos=10)
    train, test = split_videos(10, 0.8, 28)
    assert sorted(train + test) == list(range(10))
    ours = fit_prior(dataset, train)
    alone = fit_prior(dataset.subset(train))
    assert ours.picture_reference.tolist() == alone.picture_reference.tolist()
    assert ours.budget == alone.budget
    leaking = fit_prior(dataset, train, SoundtrackConfig.preset("reference"))
    whole = fit_prior(dataset, None, SoundtrackConfig.preset("reference"))
    assert leaking.picture_reference.tolist() == whole.picture_reference.tolist()
    with pytest.raises(UsageError, match="training video"):
        fit_prior(dataset, [])


def test_unlabelled_videos_get_a_budget_by_rate() -> None:
    dataset = make_dataset(labelled=False)
    prior = fit_prior(dataset)
    values, probabilities = prior.budget.distribution(0.3, 21)
    assert values @ probabilities == pytest.approx(0.105 * 20, abs=0.1)
    assert neutral_prior(dataset).budget == unlabelled_budget(0.105)


def test_a_prior_survives_json() -> None:
    prior = fit_prior(make_dataset())
    again = Prior.from_dict(json.loads(json.dumps(prior.as_dict())))
    assert again.as_dict() == prior.as_dict()
    assert isinstance(again.budget, SwitchBudget)


def test_tables_are_the_rewards_of_the_specification() -> None:
    dataset = make_dataset()
    prior = fit_prior(dataset)
    tables = build_tables(dataset, prior, 1, mode="train")
    video, k, j, t = dataset.videos[1], 3, 5, 2

    def cos(a: np.ndarray, b: np.ndarray) -> float:  # type: ignore[type-arg]
        return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))

    new, old, segment = dataset.tracks[k], dataset.tracks[j], video.segments[t]
    assert prior.caption_reference is not None
    assert new.text_embedding is not None
    assert segment.text_embedding is not None
    picture = cos(segment.embedding, new.embedding) - cos(prior.picture_reference, new.embedding)
    caption = cos(segment.text_embedding, new.text_embedding)
    caption -= cos(prior.caption_reference, new.text_embedding)
    expected = (3 * (picture + 0.2) + 2.5 * (caption + 0.3)) / 2
    assert tables.alignment[t, k] == pytest.approx(expected)
    acoustic = (
        1
        + (
            -abs(new.tempo_bpm - old.tempo_bpm) / 100
            - abs(new.centroid_hz - old.centroid_hz) / 2000
            + (cos(new.mfcc, old.mfcc) - 1) / 2
        )
        / 3
    )
    semantic = (cos(new.embedding, old.embedding) + 1) / 2
    assert tables.transition[k, j] == pytest.approx((semantic + acoustic) / 2)
    assert np.diagonal(tables.transition) == pytest.approx(np.ones(6))
    turn = cos(segment.embedding, video.segments[t - 1].embedding)
    assert tables.gate[t] == pytest.approx(math.exp(-5 * (1 - turn)))
    assert tables.gate[0] == 1.0
    assert tables.fade_per_s == 0.01
    assert build_tables(dataset, prior, 1, target=3).target_values.tolist() == [3]
    with pytest.raises(UsageError, match="no video 4"):
        build_tables(dataset, prior, 4)
    with pytest.raises(UsageError, match="8"):
        build_tables(make_dataset(dimension=9), prior, 0)


def test_sigma_of_one_segment_is_zero() -> None:
    assert sigma_of(make_dataset(n_segments=1).videos[0]) == 0.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("01:30", 90.0), ("1:00:00", 3600.0), ("7", 7.0), (12.5, 12.5), ("0:01.5", 1.5)],
)
def test_clock_texts(text: object, seconds: float) -> None:
    assert clock_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "a:b", "1:2:3:4", "-3", "nan", None, True, [1]])
def test_bad_clock_texts(text: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        clock_seconds(text)


def test_the_reference_clock_reads_whole_numbers_only() -> None:
    assert reference_clock_seconds("5") == 0.0
    with pytest.raises(ValueError, match="invalid literal"):
        reference_clock_seconds("1:2.5")


def test_changes_mark_the_nearest_start_within_reach() -> None:
    starts = [0.0, 10.0, 20.0]
    changes = [Change(3.0, 0.5), Change(13.1, 0.9), Change(9.0, 0.01), Change(8.0, 0.3)]
    assert changed_segments(starts, changes) == {0: 0.5, 1: 0.3}
    assert changed_segments(starts, changes[:3], min_score=0.02) == {0: 0.5}
    assert changed_segments([0.0, 4.0], [Change(2.0, 1.0)]) == {0: 1.0}  # first of two ties
    assert changed_segments([], changes) == {}


def test_two_titles_do_not_get_one_file() -> None:
    titles, files = ["my trip", "my trip 2"], ["My Trip 2.mp4", "My Trip.mp4", "other.mp4"]
    found = assign(titles, files)
    assert {t: m.file for t, m in found.items()} == {
        "my trip": "My Trip.mp4",
        "my trip 2": "My Trip 2.mp4",
    }
    assert all(0.5 <= m.score <= 1 for m in found.values())
    assert closest("nothing like it", files) is None
    assert assign(["zzzz"], files) == {}


def test_safe_names() -> None:
    assert safe_name("A: b?.MP4") == "a-b.MP4"
    assert safe_name("...mp4") == "file.mp4"
    assert safe_name("Aux.mp3") == "_aux.mp3"
