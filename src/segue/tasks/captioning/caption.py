"""Captions of one film: its features, its events, a caption for each, as subtitles.

Events come from a file, from the proposal network that the run was given (`proposals`), or from the
film's shots (`segments`). Features: see `caption_features`.

Letters: `M` events, `S` rows, `D` numbers of a row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from segue.core.config import Config
from segue.core.errors import DataError, MissingModel
from segue.core.progress import Advance, silent
from segue.media.segments import SegmentSettings
from segue.tasks.captioning.caption_features import features_of
from segue.tasks.captioning.data.feature_source import Rows
from segue.tasks.captioning.events import Events, read_events
from segue.tasks.captioning.results import proposals_of
from segue.tasks.captioning.subtitles import FORMATS, Subtitle, write_subtitles

if TYPE_CHECKING:
    from segue.tasks.captioning.models.stored import StoredCaptioner
    from segue.tasks.captioning.proposals import StoredProposals

__all__ = ["CaptionConfig", "Captioned", "caption", "captions_of"]

_ROWS = 4096  # of a batch of events, padding among them


class CaptionConfig(Config):
    """How a film is captioned."""

    limit: int = Field(30, ge=2)
    """Words of a caption at most."""
    beams: int = Field(1, ge=1)
    """1 takes the likeliest next word again and again; more search for a likelier caption."""
    backbones: tuple[str, ...] = ()
    """clip, clap, or folders of such models, as for `segue captioning features`."""
    segments: Literal["auto", "proposals", "shots"] = "auto"
    """Where events come from, without a file of them. proposals: what the run's proposal network
    finds; they may overlap. shots: the film's shots. auto: proposals where the run, or its warm
    start, has such a network."""
    proposals: int = Field(100, ge=1)
    """Proposed events at most, the surest ones (original: 100)."""
    overlap: float = Field(0.4, gt=0, le=1)
    """A proposed event that overlaps a surer one more than this (tIoU) is left out; 1 keeps all."""
    events: SegmentSettings = SegmentSettings(min_s=4.0, max_s=60.0)
    """How shots become events: 4 to 60 s long (those of ActivityNet Captions have a median of
    21 s)."""
    formats: tuple[str, ...] = tuple(FORMATS)
    """Files that are written: srt, vtt, json."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Captioned:
    """A captioned film."""

    name: str
    subtitles: tuple[Subtitle, ...]
    """In order of time."""
    duration_s: float
    segments: str
    """Where the events come from: file, proposals, shots, or film where it is one event."""
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
            "segments": self.segments,
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
        segments: file of events; see `events.read_events`. Default: see `CaptionConfig.segments`;
            features without a film have no shots and are one event.
        advance: told the seconds of picture just analysed.

    Raises:
        MissingModel: the run holds no captioner; or no proposal network, and it was asked for.
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
    proposals = None if segments is not None else _proposals(run, config)
    name, rows, duration_s = features_of(source, stored, run, config.backbones, advance=advance)
    kind, events = "file", None
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
        kind, events = _found(source, rows, duration_s, config, proposals)
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
        subtitles=tuple(sorted(subtitles, key=lambda s: (s.start_s, s.end_s))),
        duration_s=duration_s,
        segments=kind,
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
    from segue.tasks.captioning.batches import streams_of
    from segue.tasks.captioning.data.feature_source import collate
    from segue.tasks.captioning.data.folder_features import cut
    from segue.tasks.captioning.models.decoding import beam_search, greedy, speaking

    network, sizes = stored.network, stored.network.config
    parts = [cut(rows, float(start), float(end), duration_s) for start, end in events]
    texts = [""] * len(parts)
    with speaking(network):
        for together in _batches(parts):
            features = collate([parts[n] for n in together], sizes.visual, sizes.audio)
            memory = network.encode(streams_of(features))
            if config.beams == 1:
                found = greedy(network, memory, config.limit)
            else:
                found = beam_search(network, memory, config.limit, width=config.beams)
            for n, words in zip(together, found.words.tolist(), strict=True):
                texts[n] = " ".join(stored.vocabulary.decode(words))
    return texts


def _batches(parts: Sequence[Rows]) -> Iterator[list[int]]:
    """Yield the numbers of events that are captioned together: of like size, as many as fit."""
    sizes = [max(0 if x is None else len(x) for x in (p.visual, p.audio)) for p in parts]
    batch: list[int] = []
    for n in sorted((n for n, size in enumerate(sizes) if size), key=lambda n: sizes[n]):
        if batch and (len(batch) + 1) * sizes[n] > _ROWS:
            yield batch
            batch = []
        batch.append(n)
    if batch:
        yield batch


def _proposals(run: Path, config: CaptionConfig) -> StoredProposals | None:
    """Return the proposal network that events are to come from; None: from shots."""
    if config.segments == "shots":
        return None
    folder = proposals_of(run)
    if folder is None and config.segments == "proposals":
        raise MissingModel(
            "this run has no proposal network",
            where=run,
            advice=f"Train one with `segue captioning pretrain --proposals --data DIR --run {run}`",
        )
    if folder is None:
        return None
    from segue.tasks.captioning.proposals import load_proposals

    return load_proposals(folder)


def _found(
    source: Path,
    rows: Rows,
    duration_s: float,
    config: CaptionConfig,
    proposals: StoredProposals | None,
) -> tuple[str, Events]:
    """Return where events come from, and the events [M, 2] of a film without a file of them."""
    if proposals is not None:
        found = proposals.propose(rows, duration_s, most=config.proposals, overlap=config.overlap)
        return "proposals", found[:, :2]
    if source.suffix == ".npy":
        return "film", np.array([[0.0, duration_s]])
    from segue.tasks.captioning.segments import shot_segments

    return "shots", shot_segments(source, config.events)[0]
