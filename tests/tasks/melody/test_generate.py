"""What users get: tunes in any key, meter and form, the same for a seed, and explanations."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from segue.core.errors import ConfigError, DataError, RunError, UsageError
from segue.core.options import run as run_command
from segue.music.events import notes_from_classes
from segue.music.midi import read_midi, write_midi
from segue.music.notes import Part, Piece
from segue.music.theory import METERS, MODES, Key, parse_key
from segue.tasks.melody.cli import group
from segue.tasks.melody.generate import GenerateConfig, find_models, generate, make_tunes
from segue.tasks.melody.models import SHIPPED, shipped
from segue.tasks.melody.tunes import phrase_steps

QUICK = {"best_of": 2, "renderer": "additive", "bars": 2, "n": 2}


def config(**changes: object) -> GenerateConfig:
    return GenerateConfig.parse({**QUICK, **changes})


def tunes(**changes: object):  # type: ignore[no-untyped-def]
    settings = config(**changes)
    return make_tunes(find_models(None, parse_key(settings.key), model=settings.model), settings)


@pytest.mark.parametrize("name", SHIPPED)
def test_what_ships_is_small_and_whole(name: str) -> None:
    model = shipped(name)
    assert sum(a.nbytes for a in model.arrays.values()) < 1_000_000
    assert "GPL-3.0" in model.facts["licence"]
    if name != "prior":
        assert model.facts["prior_sha256"] == shipped("prior").facts["sha256"]


def test_the_same_seed_gives_the_same_files(tmp_path: Path) -> None:
    models = find_models(None, Key())
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        generate(models, config(seed=seed), tmp_path / name)
    names = [p.name for p in sorted((tmp_path / "a").iterdir())]
    assert names == ["tune-01.mid", "tune-01.png", "tune-01.wav", "tune-02.mid", "tune-02.png",
                     "tune-02.wav", "tunes.json"]  # fmt: skip
    one, same, other = ((tmp_path / n / "tune-01.mid").read_bytes() for n in "abc")
    assert one == same
    assert one != other
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize("mode", MODES)
def test_notes_belong_to_the_key(mode: str) -> None:
    key = Key(3, mode)
    made = tunes(key=f"Eb {mode}", n=6, best_of=4)
    pitches = [note.pitch for tune in made for note in tune.notes()]
    assert np.mean([p in key for p in pitches]) > 0.97


def test_a_tuned_tune_begins_on_its_tonic() -> None:
    """Of the prior's tunes one in a hundred does, of uniform ones one in forty."""
    for key in ("D major", "F# minor"):
        tonic = parse_key(key).tonic
        made = tunes(key=key, n=20, form="through", best_of=4)
        assert np.mean([tune.notes()[0].pitch % 12 == tonic for tune in made]) > 0.9


@pytest.mark.parametrize("meter", METERS)
@pytest.mark.parametrize("bars", [1, 3, 8])
def test_bars_are_whole(meter: str, bars: int) -> None:
    made = tunes(meter=meter, bars=bars, n=1)[0]
    assert made.n_steps == bars * METERS[meter].steps_per_bar()
    assert sum(phrase_steps(METERS[meter], bars)) == made.n_steps
    piece = made.piece()
    assert piece.meters == ((0, METERS[meter].beats, METERS[meter].unit),)


def test_a_form_returns_to_its_phrases() -> None:
    made = tunes(bars=8, form="AABA", n=1)[0].classes.reshape(4, 32)
    assert made[0].tolist() == made[1].tolist() == made[3].tolist()
    assert made[0].tolist() != made[2].tolist()
    through = tunes(bars=8, form="through", n=1)[0].classes.reshape(4, 32)
    assert len({tuple(row) for row in through}) == 4


def test_greedy_needs_no_luck_and_temperature_matters() -> None:
    first, second = (tunes(greedy=True, seed=s, primer="60 -2 64 -2")[0] for s in (0, 1))
    assert first.classes.tolist() == second.classes.tolist()
    wild, calm = (np.mean([t.log_p for t in tunes(temperature=t, n=12, best_of=1)])
                  for t in (3.0, 0.7))  # fmt: skip
    assert wild < calm - 1


def test_the_prior_likes_its_own_tunes_better() -> None:
    settings = config(n=12, best_of=1)
    found = {}
    for use_prior in (True, False):
        models = find_models(None, Key(), use_prior=use_prior)
        made = make_tunes(models, settings)
        found[use_prior] = (np.mean([t.log_p for t in made]), np.mean([t.rule_sum for t in made]))
    assert found[True][0] > found[False][0]
    assert found[True][1] < found[False][1]


def test_a_file_can_be_the_primer(tmp_path: Path) -> None:
    write_midi(Piece((Part(notes_from_classes([14, 1, 16, 1, 18, 1, 1, 1])),)), tmp_path / "p.mid")
    made = tunes(primer=str(tmp_path / "p.mid"), greedy=True, n=1)[0]
    same = tunes(primer="60 -2 62 -2 64 -2 -2 -2", greedy=True, n=1)[0]
    assert made.classes.tolist() == same.classes.tolist()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"key": "H major"}, "not a key"),
        ({"meter": "5/4"}, "not a meter"),
        ({"instrument": "kazoo"}, "unknown instrument 'kazoo'"),
        ({"bars": 0}, "bars = 0"),
        ({"temperature": 0}, "temperature = 0"),
    ],
)
def test_impossible_settings(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config(**changes)


@pytest.mark.parametrize("primer", ["60 x", "20", "130", "60.5", "no/such/file.mid", "-3"])
def test_impossible_primers(primer: str) -> None:
    with pytest.raises(DataError):
        tunes(primer=primer)


def test_impossible_forms_and_greed() -> None:
    with pytest.raises(UsageError, match="not a form"):
        tunes(form="A-B")
    with pytest.raises(UsageError, match="greedy"):
        tunes(greedy=True, n=60)


def test_folders_are_respected(tmp_path: Path) -> None:
    models, out = find_models(None, Key()), tmp_path / "out"
    generate(models, config(n=1), out)
    with pytest.raises(RunError, match="--overwrite"):
        generate(models, config(n=1), out)
    generate(models, config(n=2, seed=5), out, overwrite=True)
    generate(models, config(n=1), out, overwrite=True)
    assert len(list(out.glob("*.mid"))) == 1
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("keep")
    with pytest.raises(RunError, match="other files"):
        generate(models, config(n=1), tmp_path / "mine", overwrite=True)
    bank = tmp_path / "bank.sf2"
    bank.write_bytes(b"RIFF nothing of a bank")
    with pytest.raises(DataError, match=r"bank\.sf2"):
        generate(models, config(n=1, soundfont=str(bank), renderer=None), tmp_path / "new")
    assert not (tmp_path / "new").exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bank.sf2", "mine", "out"]


def test_midi_says_what_was_composed(tmp_path: Path) -> None:
    facts = generate(
        find_models(None, Key()), config(n=1, tempo_qpm=90, instrument="flute"), tmp_path / "out"
    )
    piece = read_midi(tmp_path / "out" / "tune-01.mid")
    assert [p.program for p in piece.parts] == [73]
    assert piece.tempos[0][1] == pytest.approx(90, abs=0.01)
    assert facts["tunes"][0]["duration_s"] >= 2 * 4 * 60 / 90 - 0.2


def test_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "out")
    begin = ["generate", "-n", "1", "--bars", "2", "--out", out, "--set", "renderer=additive"]
    assert run_command(group, [*begin, "--key", "Am", "--seed", "2", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["tunes"][0]["key"] == "A minor"
    assert facts["model"] == "psi_minor"
    assert run_command(group, begin) == 1
    assert run_command(group, ["generate", "--key", "X", "--out", out]) == 2
    assert "X" in capsys.readouterr().err
    assert run_command(group, ["explain", f"{out}/tune-01.mid", "--key", "Am", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["total"]) == len(found["events"])
    assert sum(found["total"]) == pytest.approx(found["sum"])


def test_explaining_notes_by_rule(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(group, ["explain", "60 61 -2 -2", "--weights", "key=2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["terms"]["key"] == [0, -2, 0, 0]
    assert found["terms"]["tonic"][0] == 3
    assert found["log_p"][0] is None
    assert found["log_p"][1] < 0
    assert run_command(group, ["explain", "60 61"]) == 0
    shown = capsys.readouterr().out
    assert "C#4" in shown
    assert "autocorrelation" in shown
    for wrong in (["explain", "60 hello"], ["explain", "no-such.mid"]):
        assert run_command(group, wrong) == 1
    assert run_command(group, ["explain", "60", "--weights", "motif"]) == 2
    assert run_command(group, ["explain", "60", "--weights", "motfi=1"]) == 2
    assert "motif" in capsys.readouterr().err
