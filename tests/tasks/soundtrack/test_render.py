"""A plan becomes a film: its picture untouched, its sound levelled, nothing overwritten."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import pytest

from examples.sample_film import make_film
from examples.sample_library import make_library
from segue.cli import root
from segue.core.errors import DataError, MediaError, MissingModel, UsageError
from segue.core.options import run
from segue.media.library import analyse_library
from segue.tasks.soundtrack.data import Dataset
from segue.tasks.soundtrack.evaluate import play_dataset
from segue.tasks.soundtrack.render import RenderConfig, render, tiling, with_run
from segue.tasks.soundtrack.results import render_played
from tests.synthetic_soundtrack import make_dataset

QUICK = ["segments.min_s=1", "segments.max_s=3", "workers=1"]


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("material")
    make_library(folder / "library", seconds=12, count=3)
    return make_film(folder / "film.mp4", 96, 54, shorten=0.1), folder / "library"


def packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(p) for p in container.demux(video=0) if p.size]


def test_the_policy_and_the_baselines_are_rendered_side_by_side(
    material: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film, library = material
    out = tmp_path / "scored.mp4"
    words = ["soundtrack", "render", "--video", str(film), "--library", str(library), "--out"]
    settings = [word for text in QUICK for word in ("--set", text)]
    assert run(root, [*words, str(out), "--baseline", "--json", *settings]) == 0
    films = json.loads(capsys.readouterr().out)["films"]
    assert [f["agent"] for f in films] == ["policy-beam/8", "greedy", "random"]
    assert [Path(f["path"]).name for f in films] == [
        "scored.mp4",
        "scored-greedy.mp4",
        "scored-random.mp4",
    ]
    assert films[0]["return_"] >= films[2]["return_"]
    for made in films:
        assert packets(Path(made["path"])) == packets(film)
        assert made["true_peak_dbtp"] <= -1
        assert made["loudness_lufs"] == pytest.approx(-14, abs=0.5)
        assert sum(made["terms"].values()) == pytest.approx(made["return_"])
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "scored-greedy.mp4",
        "scored-random.mp4",
        "scored.mp4",
    ]  # no scratch files
    assert run(root, [*words, str(out)]) == 2
    assert "--overwrite" in capsys.readouterr().err


def test_wrong_requests_are_refused_before_any_work(
    material: tuple[Path, Path], tmp_path: Path
) -> None:
    film, library = material
    out = tmp_path / "out.mp4"
    with pytest.raises(UsageError, match="its own input"):
        render(film, library, film, overwrite=True)
    with pytest.raises(UsageError, match="ending"):
        render(film, library, tmp_path / "out")
    with pytest.raises(MissingModel):
        render(film, library, out, run=tmp_path)
    with pytest.raises(DataError):
        render(film, tmp_path / "nothing", out)
    with pytest.raises(MediaError, match="no picture"):
        render(next(library.iterdir()), library, out)
    short = RenderConfig.load(assignments=[*QUICK, "layout.min_track_s=50"])
    with pytest.raises(DataError, match="50 s"):
        render(film, library, out, short)
    assert list(tmp_path.iterdir()) == []


def test_a_run_gives_its_weights_to_policies_without_their_own() -> None:
    mine = Path("runs/mine")
    assert with_run("policy", mine) == "policy/runs/mine"
    assert with_run("policy-beam", mine) == "policy-beam/8/runs/mine"
    assert with_run("policy-beam/3", mine) == "policy-beam/3/runs/mine"
    assert with_run("policy-beam/3/other", mine) == "policy-beam/3/other"
    assert with_run("greedy/alignment", mine) == "greedy/alignment"
    assert with_run("policy", None) == "policy"


def test_segments_of_a_dataset_become_a_tiling_of_the_film() -> None:
    spans, kept = tiling([3.0, 10.0, 10.2, 9.0, 20.0, 29.8, 35.0], Fraction(30))
    assert [(float(s.start_s), float(s.end_s)) for s in spans] == [(0, 10), (10, 20), (20, 30)]
    assert kept == [0, 1, 4]
    spans, kept = tiling([0.0], Fraction(7, 2))
    assert (len(spans), spans[0].end_s, kept) == (1, Fraction(7, 2), [0])


def test_episodes_of_a_dataset_are_rendered(material: tuple[Path, Path], tmp_path: Path) -> None:
    film, library = material
    paths = [track.path for track in analyse_library(library, 1).tracks]
    drawn = make_dataset(n_tracks=3, n_videos=2, n_segments=3, shortest_s=60)
    shutil.copy(film, tmp_path / "second.mp4")
    dataset = Dataset(
        tracks=tuple(replace(t, path=str(p)) for t, p in zip(drawn.tracks, paths, strict=True)),
        videos=tuple(
            replace(v, path=str(p), name=p.name)
            for v, p in zip(drawn.videos, (film, tmp_path / "second.mp4"), strict=True)
        ),
    )
    played = play_dataset(dataset, ["greedy", "policy"], split="all")
    config = RenderConfig(workers=1)
    made = render_played(tmp_path / "films", dataset, [0, 1], played, config)
    assert [m.path.name for m in made] == ["film-policy.mp4", "second-policy.mp4"]
    assert all(packets(m.path) == packets(film) for m in made)
    gone = replace(dataset.videos[1], path=str(tmp_path / "gone.mp4"))
    lost = Dataset(tracks=dataset.tracks, videos=(dataset.videos[0], gone))
    with pytest.raises(MediaError, match="no such file"):
        render_played(tmp_path / "more", lost, [0, 1], played, config)
