"""What can be added without registration: every entry of the tables keeps its contract.

The tables are EMBEDDERS, EXPORTERS, AGENTS, and the REWARDS of soundtrack and audio. An entry is
tested by being there; a thing of the user's own, `package.module:Thing`, works in the same place; a
wrong name is answered with the nearest right one.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from segue.core.errors import MissingModel, UnknownName
from segue.core.names import resolve
from segue.media.audio import write_wav
from segue.media.embed import EMBEDDERS, Embedder, Scene, make
from segue.media.track import TrackAnalysis, analyse_track
from segue.rl.rewards import FunctionTerm, Term
from segue.score.export import EXPORTERS, Exporter, export_all
from segue.tasks.audio.rewards.clips import Clips
from segue.tasks.audio.rewards.table import REWARDS as AUDIO_REWARDS
from segue.tasks.audio.rewards.table import build
from segue.tasks.audio.vocabulary import make_prompt
from segue.tasks.soundtrack.agents import AGENTS, make_agent
from segue.tasks.soundtrack.agents.plan import Agent, finish
from segue.tasks.soundtrack.episodes import Episodes, TableStack
from segue.tasks.soundtrack.prior import fit_prior
from segue.tasks.soundtrack.rewards import REWARDS, Steps, extra_reward
from segue.tasks.soundtrack.scoring import score
from segue.tasks.soundtrack.tables import build_tables
from tests import tiny_models
from tests.score.export.films import film
from tests.synthetic_audio import cadence, clicks
from tests.synthetic_soundtrack import make_dataset
from tests.tasks.soundtrack.agents.small_tables import small_tables


@dataclasses.dataclass(frozen=True)
class Point:
    """One table, and the front door through which a name becomes a thing that is used."""

    table: Mapping[str, str]
    kind: str
    typo: str
    meant: str
    use: Callable[[str, Path], Any]


def _plan(name: str, folder: Path) -> Any:
    return make_agent(name).plan(small_tables(0, 7, 5), np.random.default_rng(0))


def _term(name: str, folder: Path) -> Any:
    return extra_reward({name: 2.0})(_steps(4, final=False))


def _heard(name: str, folder: Path) -> Any:
    return build({name: 1.0})(
        Clips(None, 16000, [make_prompt("sad", "cello")], torch.zeros(1, 8, 64))
    )


POINTS = {
    "EMBEDDERS": Point(EMBEDDERS, "embedder", "afect", "affect", lambda name, _: make(name)),
    "EXPORTERS": Point(
        EXPORTERS, "exporter", "fcpxlm", "fcpxml",
        lambda name, folder: export_all(film(), folder, [name]),
    ),
    "AGENTS": Point(AGENTS, "agent", "planer", "planner", _plan),
    "REWARDS": Point(REWARDS, "reward term", "alignmnt", "alignment", _term),
    "AUDIO_REWARDS": Point(AUDIO_REWARDS, "reward term", "emotoin", "emotion", _heard),
}  # fmt: skip


@pytest.mark.parametrize("name", POINTS)
def test_an_unknown_name_is_answered_with_the_nearest(name: str, tmp_path: Path) -> None:
    point = POINTS[name]
    with pytest.raises(UnknownName, match=f"unknown {point.kind} '{point.typo}'") as caught:
        resolve(point.table, point.typo, point.kind)
    assert f"Did you mean '{point.meant}'?" in str(caught.value)
    assert all(known in str(caught.value) for known in point.table)
    with pytest.raises(UnknownName):
        point.use("thing_of_nobody:Thing", tmp_path)
    assert list(tmp_path.iterdir()) == []


OWN = """
import numpy as np
from segue.core.files import atomic_write
from segue.media.embed import unit
from segue.tasks.soundtrack.agents.plan import finish


class OwnEmbedder:
    name = "own"

    def __init__(self, folder=None):
        self.folder = folder

    def embed_scenes(self, video, scenes):
        return unit(np.array([scene.axes for scene in scenes]))

    def embed_tracks(self, tracks):
        return unit(np.array([track.axes for track in tracks]))


class OwnExporter:
    suffix = ".txt"
    file_name = "own.txt"

    def write(self, timeline, path):
        atomic_write(path, timeline.name)
        return ["everything but the name"]


class OwnAgent:
    def plan(self, tables, rng):
        actions = rng.integers(0, tables.n_tracks, tables.n_segments)
        return finish(tables, actions, 0.0)


def own_reward(steps):
    return steps.length_s / 60.0


def own_audio_reward(needs):
    from segue.tasks.audio.rewards.terms import ClipTerm

    return ClipTerm("own", lambda clips: np.full(len(clips), 0.5), 0.0, 1.0, "mel", None)
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "somebodys_things.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    return "somebodys_things"


@pytest.mark.parametrize("name", POINTS)
def test_a_thing_of_the_users_own_works_in_the_same_place(
    name: str, own: str, tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    attribute = {
        "EMBEDDERS": "OwnEmbedder",
        "EXPORTERS": "OwnExporter",
        "AGENTS": "OwnAgent",
        "AUDIO_REWARDS": "own_audio_reward",
    }
    found = POINTS[name].use(f"{own}:{attribute.get(name, 'own_reward')}", folder)
    if name == "EMBEDDERS":
        assert found.name == "own"
        assert found.embed_scenes(Path("film.mp4"), _scenes()).shape == (3, 5)
    elif name == "EXPORTERS":
        assert found == {f"{own}:OwnExporter": ["everything but the name"]}
        assert (folder / "own.txt").read_text() == film().name
    elif name == "AGENTS":
        assert len(found.actions) == 7
    elif name == "AUDIO_REWARDS":
        total, parts = found
        assert list(parts) == ["own"]
        assert total.tolist() == [0.5]
    else:
        total, parts = found
        assert list(parts) == [f"{own}:own_reward"]
        np.testing.assert_allclose(total, 2.0 * _steps(4, final=False).length_s / 60.0)


# --- EMBEDDERS ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tracks(tmp_path_factory: pytest.TempPathFactory) -> list[TrackAnalysis]:
    folder = tmp_path_factory.mktemp("music")
    write_wav(folder / "calm.wav", 0.2 * cadence(60, minor=False, bars=1), 22050)
    write_wav(folder / "busy.wav", clicks(170, 4) + cadence(60, True, 1), 22050)
    found = [analyse_track(folder / name) for name in ("calm.wav", "busy.wav")]
    return [*found, dataclasses.replace(found[0])]  # the last is a copy of the first


def _scenes() -> list[Scene]:
    axes = [[-1.0, 0.5, -0.5, -1.0, 0.0], [1.5, -1.0, 1.2, 1.0, 0.5], [-1.0, 0.5, -0.5, -1.0, 0.0]]
    found = []
    for i, (values, colour) in enumerate(zip(axes, ["blue", "red", "blue"], strict=True)):
        buffer = io.BytesIO()
        Image.new("RGB", (32, 18), colour).save(buffer, "JPEG")
        stills = (buffer.getvalue(),)
        found.append(Scene(index=i, start_s=i, end_s=i + 1, axes=np.array(values), stills=stills))
    return found


def _folder_of(name: str, folder: Path) -> Path | None:
    if name in ("clap", "clip"):
        pytest.importorskip("transformers", reason="needs the extra 'models'")
        return tiny_models.save(name, folder)
    if name == "precomputed":
        first, second = np.random.default_rng(0).normal(size=(2, 16))
        kept = {"video_embs/film/segment_0": first, "video_embs/film/segment_1": second,
                "video_embs/film/segment_2": first, "music_embs/calm/full": first,
                "music_embs/busy/full": second}  # fmt: skip
        for place, vector in kept.items():
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
            np.save(folder / f"{place}.npy", vector)
        return folder
    return None


@pytest.mark.parametrize("name", sorted(EMBEDDERS))
def test_every_embedder_keeps_the_contract(
    name: str, tracks: list[TrackAnalysis], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = _folder_of(name, tmp_path)
    capfd.readouterr()
    embedder: Embedder = make(name, folder)
    video, scenes = Path("film.mp4"), _scenes()
    assert embedder.name == name
    seen, heard = embedder.embed_scenes(video, scenes), embedder.embed_tracks(tracks)
    assert seen.dtype == heard.dtype == np.float32
    assert seen.shape == (3, heard.shape[1])
    for vectors in (seen, heard):
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
        assert vectors[0] @ vectors[2] == pytest.approx(1, abs=1e-5)  # a copy is nearest,
        assert vectors[0] @ vectors[1] < 0.9999  # another thing is not
    np.testing.assert_array_equal(embedder.embed_tracks(tracks[::-1]), heard[::-1])
    np.testing.assert_array_equal(embedder.embed_scenes(video, scenes[:1]), seen[:1])
    np.testing.assert_array_equal(make(name, folder).embed_tracks(tracks), heard)
    assert "".join(capfd.readouterr()) == ""


# --- EXPORTERS ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(EXPORTERS))
def test_every_exporter_keeps_the_contract(name: str, tmp_path: Path) -> None:
    exporter = resolve(EXPORTERS, name, "exporter")()
    assert isinstance(exporter, Exporter)
    assert exporter.file_name.endswith(exporter.suffix)
    timeline = film()
    lost = exporter.write(timeline, tmp_path / exporter.file_name)
    assert [path.name for path in tmp_path.iterdir()] == [exporter.file_name]
    assert all(isinstance(line, str) and line for line in lost)
    again = tmp_path / f"again{exporter.suffix}"
    assert exporter.write(timeline, again) == lost
    assert again.read_bytes() == (tmp_path / exporter.file_name).read_bytes()
    assert again.read_bytes().decode("utf-8")
    with pytest.raises(OSError, match="again"):  # a file is no folder; nothing is left behind
        exporter.write(timeline, again / exporter.file_name)
    assert len(list(tmp_path.iterdir())) == 2


# --- AGENTS ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(AGENTS))
def test_every_agent_keeps_the_contract(name: str) -> None:
    tables = small_tables(3, 8, 5)
    try:
        agent: Agent = make_agent(name)
    except MissingModel as error:
        pytest.skip(str(error))
    plan = agent.plan(tables, np.random.default_rng(1))
    outcome = score(tables, plan.actions)
    assert outcome.complete
    assert plan.return_ == outcome.return_
    assert plan.upper_bound is None or plan.upper_bound >= plan.return_ - 1e-9
    same = finish(tables, plan.actions, 0.0)
    assert plan.terms == same.terms
    again = make_agent(name).plan(tables, np.random.default_rng(1))
    assert again.actions.tolist() == plan.actions.tolist()


# --- REWARDS --------------------------------------------------------------------------------------


def _steps(batch: int, final: bool) -> Steps:
    dataset = make_dataset(n_videos=1, shortest_s=8.0)
    stack = TableStack([build_tables(dataset, fit_prior(dataset), 0, mode="train")])
    episodes = Episodes(stack, np.zeros(batch, dtype=np.int64))
    actions = np.random.default_rng(0).integers(0, 7, size=(5, 64))
    for row in actions[: 5 if final else 1]:
        steps = episodes.advance(row[:batch])
    return steps


@pytest.mark.parametrize("name", sorted(REWARDS))
def test_every_reward_term_keeps_the_contract(name: str) -> None:
    found = resolve(REWARDS, name, "reward term")
    assert isinstance(found, Term)
    assert isinstance(found, FunctionTerm)
    assert found.name == name
    for final in (False, True):
        values = found(_steps(64, final))
        assert values.shape == (64,)
        assert values.dtype == np.float64
        assert np.isfinite(values).all()
        assert values.min() >= found.low - 1e-12
        assert values.max() <= found.high + 1e-12
        assert values.tolist() == found(_steps(64, final)).tolist()
        np.testing.assert_allclose(found(_steps(1, final)), values[:1], atol=1e-12)
