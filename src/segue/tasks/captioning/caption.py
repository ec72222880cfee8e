"""Captions of one film: its features, its events, a caption for each, as subtitles.

A film gives its own features; those that it is given must be of the kind that the captioner has
learned from, as any other numbers would be read as if they were that kind. Events are the film's
shots (`segments`), or come from a file.

Letters: `M` events, `S` rows, `D` numbers of a row.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segue.core.config import Config
from segue.core.errors import DataError
from segue.core.progress import Advance, silent
from segue.media.segments import SegmentSettings
from segue.tasks.captioning.data.feature_manifest import film_length_s, kinds_of
from segue.tasks.captioning.data.feature_source import Rows
from segue.tasks.captioning.events import Events, read_events
from segue.tasks.captioning.results import noted_kinds
from segue.tasks.captioning.subtitles import FORMATS, Subtitle, write_subtitles

if TYPE_CHECKING:
    from segue.tasks.captioning.models.stored import StoredCaptioner

__all__ = ["CaptionConfig", "Captioned", "caption", "captions_of"]

_ENDS = ("_visual", "_rgb", "_flow", "_audio", "_vggish")
"""Ends of the names of feature files, before .npy."""


class CaptionConfig(Config):
    """How a film is captioned."""

    limit: int = Field(30, ge=2)
    """Words of a caption at most."""
    beams: int = Field(1, ge=1)
    """1 takes the likeliest next word again and again; more search for a likelier caption."""
    backbones: tuple[str, ...] = ()
    """clip, clap, or folders of such models, as for `segue captioning features`."""
    events: SegmentSettings = SegmentSettings(min_s=4.0, max_s=60.0)
    """How shots become events, without a file of segments: 4 to 60 s long (those of ActivityNet
    Captions have a median of 21 s)."""
    formats: tuple[str, ...] = tuple(FORMATS)
    """Files that are written: srt, vtt, json."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Captioned:
    """A captioned film."""

    name: str
    subtitles: tuple[Subtitle, ...]
    duration_s: float
    modalities: tuple[str, ...]
    """What was seen and heard."""
    left_out: int
    """Events without a row of features, or outside the film."""
    files: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-like values."""
        return {
            "name": self.name,
            "duration_s": self.duration_s,
            "modalities": list(self.modalities),
            "left_out": self.left_out,
            "captions": [
                {"start": s.start_s, "end": s.end_s, "sentence": s.text} for s in self.subtitles
            ],
            "files": list(self.files),
        }


def caption(
    source: Path,
    run: Path,
    out: Path | None,
    config: CaptionConfig | None = None,
    *,
    segments: Path | None = None,
    advance: Advance = silent,
) -> Captioned:
    """Caption a film and write subtitles.

    Args:
        source: a film, or one of its feature files (`NAME_visual.npy`, `NAME_audio.npy`, ...), the
            others standing beside it.
        run: of `pretrain` or `tune`.
        out: folder for NAME.srt, NAME.vtt and NAME.json; None writes nothing.
        config: settings.
        segments: file of events; see `events.read_events`. Default: shots of the film; features
            without a film are one event.
        advance: told the seconds of picture just analysed.

    Raises:
        MissingModel: the run holds no captioner.
        MediaError: the film cannot be read, or has no picture.
        DataError: features of another kind than the captioner's, or no event to caption.
        UsageError: `out` cannot be written to.
    """
    from segue.tasks.captioning.models.stored import load_captioner

    config = config or CaptionConfig()
    source, run = Path(source), Path(run)
    stored = load_captioner(run)
    if stored.facts.get("proxy"):
        raise DataError(
            "this captioner has learned from proxy features, which no film has",
            where=run,
            advice="Caption films with one that was trained on features of films",
        )
    if source.suffix == ".npy":
        name, rows, duration_s = _from_features(source, stored, run)
        events = None
    else:
        name, rows, duration_s = _from_film(source, stored, run, config, advance)
        events = None if segments else _shots(source, config)
    if segments is not None:
        events, told_s = read_events(segments, name)
        duration_s = duration_s or told_s or float(events[:, 1].max(initial=0.0))
    if duration_s is None:
        raise DataError(
            "the film's length is not known",
            where=source,
            advice="Give a file with --segments that tells events, or make the features with "
            "`segue captioning features`",
        )
    if events is None:
        events = np.array([[0.0, duration_s]])
    inside = (events[:, 0] < duration_s) & (events[:, 1] > events[:, 0])
    texts = captions_of(stored, rows, events[inside], duration_s, config)
    subtitles = tuple(
        Subtitle(float(start), float(min(end, duration_s)), text)
        for (start, end), text in zip(events[inside], texts, strict=True)
        if text
    )
    if not subtitles:
        raise DataError("no event lies within the film", where=segments or source)
    files: list[str] = []
    if out is not None:
        files = [str(path) for path in write_subtitles(subtitles, out, name, config.formats)]
    heard = (("visual", rows.visual), ("audio", rows.audio))
    return Captioned(
        name=name,
        subtitles=subtitles,
        duration_s=duration_s,
        modalities=tuple(modality for modality, found in heard if found is not None),
        left_out=len(events) - len(subtitles),
        files=tuple(files),
    )


def captions_of(
    stored: StoredCaptioner,
    rows: Rows,
    events: Events,
    duration_s: float,
    config: CaptionConfig,
) -> list[str]:
    """Return the caption of each event [M, 2] of a film; empty where it has no features."""
    import torch

    from segue.tasks.captioning.batches import streams_of
    from segue.tasks.captioning.data.feature_source import collate
    from segue.tasks.captioning.data.folder_features import cut
    from segue.tasks.captioning.models.decoding import beam_search, greedy

    network, sizes = stored.network, stored.network.config
    texts = []
    for start_s, end_s in events:
        part = cut(rows, float(start_s), float(end_s), duration_s)
        if part.visual is None and part.audio is None:
            texts.append("")
            continue
        features = collate([part], sizes.visual, sizes.audio)
        with torch.no_grad():
            memory = network.encode(streams_of(features))
        if config.beams == 1:
            found = greedy(network, memory, config.limit)
        else:
            found = beam_search(network, memory, config.limit, width=config.beams)
        texts.append(" ".join(stored.vocabulary.decode(found.words[0].tolist())))
    return texts


def _from_film(
    video: Path,
    stored: StoredCaptioner,
    run: Path,
    config: CaptionConfig,
    advance: Advance,
) -> tuple[str, Rows, float | None]:
    from segue.tasks.captioning.features import feature_kinds, film_features

    wanted, made = noted_kinds(run), feature_kinds(config.backbones)
    if wanted and (other := {m: k for m, k in wanted.items() if made.get(m) != k}):
        modality, kind = next(iter(other.items()))
        raise DataError(
            f"this captioner has learned from {modality} features '{kind}', and those of the film "
            f"would be '{made.get(modality)}'",
            where=run,
            advice="Choose the same with --backbone, or give a file of such features",
        )
    found = film_features(video, config.backbones, advance=advance)
    rows = Rows(found.visual, found.audio)
    return video.stem, _readable(rows, stored, str(video)), found.duration_s


def _from_features(
    file: Path, stored: StoredCaptioner, run: Path
) -> tuple[str, Rows, float | None]:
    from segue.tasks.captioning.data.account import Account
    from segue.tasks.captioning.data.config import PrepareConfig
    from segue.tasks.captioning.data.feature_index import index_features

    name = file.stem
    for end in _ENDS:
        name = name.removesuffix(end)
    if not file.is_file():
        raise DataError("there is no such file", where=file)
    folder = file.parent
    made, wanted = kinds_of([folder]), noted_kinds(run)
    for modality in made.keys() & wanted.keys():
        if made[modality] != wanted[modality]:
            raise DataError(
                f"these {modality} features are '{made[modality]}', and this captioner has learned "
                f"from '{wanted[modality]}'",
                where=folder,
            )
    account = Account()
    index = index_features([folder], [name], PrepareConfig(), account)
    if account.dropped:
        raise DataError(account.told(), where=file)
    rows = Rows(index.read("visual", name), index.read("audio", name))
    return name, _readable(rows, stored, str(file)), film_length_s(folder, name)


def _readable(rows: Rows, stored: StoredCaptioner, where: str) -> Rows:
    """Return the rows that a captioner reads, their widths checked."""
    sizes = stored.network.config
    kept: dict[str, NDArray[np.float32] | None] = {}
    for modality, found, width in (
        ("visual", rows.visual, sizes.visual),
        ("audio", rows.audio, sizes.audio),
    ):
        kept[modality] = found
        unheard = width == 1 or sizes.modalities not in ("both", modality)
        if found is None or unheard:  # it has never seen this modality, so it must not now
            kept[modality] = None
        elif found.shape[1] != width:
            raise DataError(
                f"{modality} features of width {found.shape[1]}, and this captioner has learned "
                f"from such of width {width}",
                where=where,
                advice="Give features of the kind that it was trained on",
            )
    if kept["visual"] is None and kept["audio"] is None:
        raise DataError("has nothing that this captioner can see or hear", where=where)
    return Rows(kept["visual"], kept["audio"])


def _shots(video: Path, config: CaptionConfig) -> Events:
    from segue.tasks.captioning.segments import shot_segments

    return shot_segments(video, config.events)[0]
