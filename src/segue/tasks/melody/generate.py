"""`generate`: tunes as MIDI, sound and picture, from a run or from what ships with Segue.

OUT/tune-01.mid  .wav  .png (piano roll)     tunes.json (key, seed, rewards of each)
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from segue.core.config import Config
from segue.core.errors import RunError, SegueError, UsageError
from segue.core.files import work_folder, write_json
from segue.core.progress import Advance, silent
from segue.music.events import events_from_classes
from segue.music.instruments import program_of
from segue.music.theory import Key, parse_key, parse_meter
from segue.tasks.melody.models import MODEL, StoredModel, load_model, shipped
from segue.tasks.melody.play import Composer, rule_composer
from segue.tasks.melody.rules import RuleSettings
from segue.tasks.melody.tunes import Tune, compose_tunes, home_key

__all__ = ["GenerateConfig", "Models", "find_models", "generate", "make_tunes", "shipped_composer"]


class GenerateConfig(Config):
    """What is composed, and how it sounds."""

    n: int = Field(10, ge=1, le=10_000)
    """Number of tunes."""
    bars: int = Field(8, ge=1, le=256)
    """Bars of each."""
    key: str = "C major"
    """Tonic and mode, as in `C`, `Am` or `Eb dorian`."""
    meter: str = "4/4"
    """4/4, 3/4, 6/8 or 2/4."""
    form: str = "AABA"
    """One letter for each phrase of about two bars, used again from the start; `through` never
    returns to a phrase."""
    primer: str = ""
    """What is heard before: melody events as text, or a MIDI file; by default a random note."""
    tempo_qpm: float = Field(100.0, ge=20, le=400)
    """Quarter notes per minute."""
    temperature: float = Field(1.0, gt=0, le=10)
    """Of sampling: lower is surer, higher is wilder."""
    greedy: bool = False
    """Always take the most likely note."""
    best_of: int = Field(16, ge=1, le=4096)
    """Every phrase is the best of so many by the rules and the prior."""
    model: str = "psi"
    """Which shipped model plays when no run is given: prior, q, psi or g."""
    instrument: str = "piano"
    """Name of an instrument."""
    renderer: str | None = None
    """soundfont, fluidsynth or additive; by default the first that this machine has."""
    soundfont: str | None = None
    """SoundFont file (.sf2) for the sound."""
    octave: int = Field(0, ge=-2, le=2)
    """Octaves up or down."""
    seed: int = Field(0, ge=0)
    """The same seed and settings give the same tunes."""

    @field_validator("key", "meter", "instrument")
    @classmethod
    def _known(cls, value: str, info: Any) -> str:
        check = {"key": parse_key, "meter": parse_meter, "instrument": program_of}
        try:
            check[info.field_name](value)
        except SegueError as error:
            raise ValueError(str(error)) from None
        return value


@dataclass(frozen=True, slots=True)
class Models:
    """What plays and what listens."""

    policy: StoredModel
    prior: StoredModel
    rules: RuleSettings

    def composer(self) -> Composer:
        """Return the composer; pieces are chosen by the nine rules."""
        return rule_composer(
            self.policy.player(), self.prior.player(), self.policy.algorithm, self.rules
        )


def find_models(
    run: Path | None, key: Key, *, model: str = "psi", use_prior: bool = False
) -> Models:
    """Return the models of a run, or the shipped ones for a key.

    Args:
        run: of `tune` or `pretrain`; None takes what ships with Segue.
        key: that will be composed in; it decides between major and minor.
        model: which of the shipped models.
        use_prior: let the prior play.

    Raises:
        MissingModel: the run holds no model.
    """
    home = home_key(key)
    rules = RuleSettings(key=str(home))
    if run is None:
        prior = shipped("prior")
        name = "psi_minor" if model == "psi" and home.mode == "minor" else model
        policy = prior if use_prior else shipped(name)
        _check_home(policy, home, key)
        return Models(policy, prior, rules)
    policy = load_model(run)
    prior = policy
    if policy.algorithm:
        prior = load_model(run, "prior")
        kept = policy.facts.get("rules")
        if isinstance(kept, dict) and parse_key(str(kept.get("key", "C major"))) == home:
            rules = RuleSettings.parse(kept, str(run / f"{MODEL}.json"))
    player = prior if use_prior else policy
    _check_home(player, home, key)
    return Models(player, prior, rules)


def _check_home(policy: StoredModel, home: Key, key: Key) -> None:
    """Refuse a model that was tuned towards another tonic than the key's tunes are composed in."""
    kept = policy.facts.get("rules")
    if policy.algorithm and isinstance(kept, dict):
        tuned = parse_key(str(kept.get("key", "C major")))
        if home_key(tuned) != home:
            raise UsageError(
                f"{policy.name} was tuned for tunes like {tuned}, not like {key}",
                advice="The shipped psi plays every key; or tune with --set "
                f"'reward.rules.key={home}', or let the prior play with --prior",
            )


def shipped_composer(key: Key) -> Composer:
    """Return a composer for a key from what ships with Segue."""
    return find_models(None, key).composer()


def make_tunes(models: Models, config: GenerateConfig) -> list[Tune]:
    """Compose the tunes of a configuration."""
    from segue.tasks.melody.primers import read_primer

    if config.greedy and config.primer == "" and config.n > 38:
        raise UsageError(
            f"{config.n} greedy tunes: there are 38 notes to begin from, so some would be alike",
            advice="Ask for fewer, or sample",
        )
    primer = read_primer(config.primer).tolist() if config.primer else ()
    return compose_tunes(
        models.composer(),
        config.n,
        n_bars=config.bars,
        key=parse_key(config.key),
        meter=parse_meter(config.meter),
        tempo_qpm=config.tempo_qpm,
        seed=config.seed,
        form=config.form,
        primer=primer,
        temperature=config.temperature,
        greedy=config.greedy,
        best_of=config.best_of,
        octave=config.octave,
    )


def generate(
    models: Models,
    config: GenerateConfig,
    out: Path,
    *,
    overwrite: bool = False,
    advance: Advance = silent,
) -> dict[str, Any]:
    """Compose tunes and write them as MIDI, WAV and piano roll.

    Args:
        models: from `find_models`.
        config: what and how.
        out: folder for the files.
        overwrite: replace tunes that are there.
        advance: told the share of the work that is done.

    Returns:
        The content of tunes.json.

    Raises:
        RunError: the folder holds something else, or cannot be written.
        DataError: the primer or the SoundFont cannot be used.
    """
    _check_folder(out, overwrite)
    from segue.media.wav import write_wav  # late: only this verb makes sound
    from segue.music.midi import write_midi
    from segue.music.roll import draw_roll
    from segue.music.synth import render

    tunes = make_tunes(models, config)
    program = program_of(config.instrument)
    soundfont = Path(config.soundfont) if config.soundfont else None
    rows, renderer = [], ""
    digits = max(2, len(str(len(tunes))))
    work = work_folder(out)
    try:
        for i, tune in enumerate(tunes, 1):
            name = f"tune-{i:0{digits}d}"
            piece = tune.piece(program, title=name)
            sound = render(piece, renderer=config.renderer, soundfont=soundfont)
            renderer = sound.renderer
            write_midi(piece, work / f"{name}.mid")
            write_wav(work / f"{name}.wav", sound.samples, sound.rate_hz, 16)
            draw_roll(piece, work / f"{name}.png", key=tune.key)
            rows.append(_row(name, tune, sound.duration_s))
            advance(1 / len(tunes))
        facts = {
            "model": models.policy.name,
            "algorithm": models.policy.algorithm or "prior",
            "sha256": models.policy.facts.get("sha256"),
            "renderer": renderer,
            "settings": config.model_dump(mode="json"),
            "tunes": rows,
        }
        write_json(work / "tunes.json", facts)
        _publish(work, out)
    except OSError as error:
        raise RunError(f"cannot write: {error.strerror or error}", where=out) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return facts


def _row(name: str, tune: Tune, duration_s: float) -> dict[str, Any]:
    return {
        "name": name,
        "files": [f"{name}.mid", f"{name}.wav", f"{name}.png"],
        "key": str(tune.key),
        "meter": str(tune.meter),
        "duration_s": round(duration_s, 3),
        "rule_sum": round(tune.rule_sum, 4),
        "log_p": round(tune.log_p, 4),
        "events_at_home": events_from_classes(tune.classes).tolist(),
    }


def _check_folder(out: Path, overwrite: bool) -> None:
    if out.exists() and not out.is_dir():
        raise RunError("this is a file, not a folder", where=out)
    if out.is_dir() and any(out.iterdir()):
        ours = (out / "tunes.json").is_file()
        if not ours:
            raise RunError(
                "this folder holds other files", where=out, advice="Choose a new or an empty one"
            )
        if not overwrite:
            raise RunError(
                "there are tunes in this folder",
                where=out,
                advice="Add --overwrite to replace them, or choose another folder",
            )


def _publish(work: Path, out: Path) -> None:
    """Move the files to their place; tunes.json, which tells that they are ours, comes last."""
    out.mkdir(exist_ok=True)
    for old in _our_files(out):
        old.unlink()
    for path in sorted(work.iterdir(), key=lambda p: p.name == "tunes.json"):
        path.chmod(0o644)
        path.replace(out / path.name)


def _our_files(out: Path) -> Sequence[Path]:
    return [p for p in out.glob("tune-*") if p.suffix in (".mid", ".wav", ".png")]
