"""Gaps are what the library does not fit; names and locks come first."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from examples.sample_library import make_library
from segue.core.errors import ConfigError, UsageError
from segue.media.embed.affect import vector
from segue.score.compose.config import ComposeSettings
from segue.score.compose.wanted import best_fits, segments_to_compose, stretches
from segue.score.config import ScoreConfig
from segue.score.library import Music, listen
from segue.score.locks import Locks
from tests.score.compose.conftest import segments

CALM, WILD = (-1.5, 0.5, -1.0, -1.0, 0.0), (2.0, -1.0, 1.8, 1.8, 0.0)
FILM = segments([0, 8, 16, 24, 32], [CALM, WILD, CALM, WILD])


@pytest.fixture(scope="module")
def calm_library(tmp_path_factory: pytest.TempPathFactory) -> Music:
    """One track whose mood is exactly that of the calm segments."""
    folder: Path = tmp_path_factory.mktemp("library")
    make_library(folder, seconds=8, count=1)
    music = listen(folder, min_track_s=3.0, workers=1)
    return replace(music, tracks=(replace(music.tracks[0], axes=np.array(CALM)),))


def test_the_fit_is_the_reward_s_alignment(calm_library: Music) -> None:
    fits = best_fits(FILM, calm_library)
    assert fits[0] == pytest.approx(1.8)  # 3/2 (1 + .2): the most there is
    assert fits[1] == pytest.approx(1.5 * (float(vector(CALM) @ vector(WILD)) + 0.2))
    assert fits[1] < 0


def test_gaps_names_and_locks(calm_library: Music) -> None:
    def chosen(mode: str, names: str = "", **locks: object) -> tuple[set[int], set[int]]:
        config = ScoreConfig.load(assignments=[f"compose.mode={mode}", f"compose.segments={names}"])
        return segments_to_compose(FILM, calm_library, Locks(**locks), config.compose)

    assert chosen("off") == (set(), set())
    assert chosen("off", "2") == ({2}, set())
    assert chosen("off", composed=frozenset({0})) == ({0}, set())
    assert chosen("gaps") == (set(), {1, 3})
    assert chosen("gaps", "0,1") == ({0, 1}, {3})
    assert chosen("gaps", tracks={1: 0}) == (set(), {3})
    assert chosen("all") == ({0, 1, 2, 3}, set())
    assert chosen("all", tracks={2: 0}) == ({0, 1, 3}, set())
    with pytest.raises(UsageError, match="no segment 4"):
        chosen("gaps", "1,4")
    with pytest.raises(UsageError, match="segment 1 is locked to"):
        chosen("all", "1", tracks={1: 0})


def test_the_threshold_decides(calm_library: Music) -> None:
    for below, gaps in ((-1.2, set()), (1.79, {1, 3}), (1.8, {1, 3})):
        settings = ComposeSettings(mode="gaps", fit_below=below)
        assert segments_to_compose(FILM, calm_library, Locks(), settings) == (set(), gaps)


@pytest.mark.parametrize("text", ["-1", "1,x", "1,-2"])
def test_wrong_names_of_segments_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"compose\.segments"):
        ScoreConfig.load(assignments=[f"compose.segments={text}"])


def test_unknown_modes_are_refused() -> None:
    with pytest.raises(ConfigError, match="'off', 'gaps' or 'all'"):
        ScoreConfig.load(assignments=["compose.mode=gap"])


def test_neighbours_are_one_piece_up_to_a_length() -> None:
    assert stretches([0, 1, 3], FILM, 600) == [[0, 1], [3]]
    assert stretches([0, 1, 2, 3], FILM, 16) == [[0, 1], [2, 3]]
    assert stretches([0, 1, 2, 3], FILM, 1) == [[0], [1], [2], [3]]
    assert stretches([], FILM, 600) == []
