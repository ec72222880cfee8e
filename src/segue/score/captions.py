"""Captions of the film: what happens in each segment, in words, and music whose tags say alike.

Captions come from a file (`[{"start", "end", "sentence"}]`, as `segue captioning caption` writes
it) or are made by a run of `segue captioning`. A segment has the caption that overlaps it most.
They are shown on the report. Where a sentence encoder is given (`captions.encoder`), the cosine of
a segment's caption and a track's tags, times `captions.weight`, is a term of the reward; a segment
without a caption and a track without tags earn nothing. Without captions, a segment is described by
the mood of its picture alone.

Letters: `T` segments, `K` tracks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from segue.core.digests import known_sha256
from segue.core.errors import DataError, printable
from segue.core.files import read_json
from segue.score.config import CaptionSettings
from segue.score.library import Music
from segue.score.steps import Steps
from segue.score.understand import FilmSegment
from segue.tasks.captioning.subtitles import Subtitle

__all__ = ["TERM", "CaptionSource", "FilmCaptions", "read_captions", "spoken_of", "tag_text"]

Floats = NDArray[np.float64]

TERM = "captions"
"""Name of the reward term."""
VERSION = 1
"""Raised when the code changes what captions mean, so that kept choices are not used."""

_MANIFEST = "captioner.json"
_TAGS = ("title", "genre", "mood", "style", "comment", "description", "keywords", "grouping")
_SHORTEST = 0.25  # share of a segment or a caption that the other must cover


class Encoder(Protocol):
    """What turns texts into vectors."""

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return [N, D] vectors of unit length."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FilmCaptions:
    """What is said of the segments of a film."""

    given: str
    """As the command line names it."""
    kind: str
    """`file`, or `run` of `segue captioning`."""
    texts: tuple[str, ...]
    """[T] empty where nothing is said of a segment."""
    n_captions: int
    n_unused: int
    """Captions that no segment has taken."""
    matching: Floats | None
    """[T, K] what the tags of each track earn under each segment; None without an encoder."""
    settings: CaptionSettings

    @property
    def inputs(self) -> list[Any]:
        """What a choice depends on because of the captions."""
        if self.matching is None:
            return []
        earned = hashlib.sha256(self.matching.round(5).tobytes()).hexdigest()
        return [VERSION, list(self.texts), self.settings.model_dump(mode="json"), earned]

    def earned(self, n_tracks: int) -> Floats | None:
        """Return [T, n_tracks] what each track earns under each segment; composed ones: 0."""
        if self.matching is None:
            return None
        found = np.zeros((len(self.texts), n_tracks))
        found[:, : self.matching.shape[1]] = self.matching
        return found

    def notes(self) -> list[str]:
        """Return what the user should know."""
        silent = sum(not text for text in self.texts)
        said = []
        if self.n_unused:
            said.append(f"{self.n_unused} of {self.n_captions} captions belong to no segment")
        if silent:
            said.append(f"{silent} of {len(self.texts)} segments have no caption")
        if self.matching is None:
            said.append("captions choose nothing without a sentence encoder (captions.encoder)")
        elif not self.matching.any():
            said.append("captions choose nothing: no track of the library has tags")
        return said

    def of_segment(self, segment: int) -> dict[str, Any]:
        """Return what is said of one segment, for the result."""
        text = self.texts[segment]
        return {"text": printable(text), "source": self.kind if text else "none"}

    def facts(self) -> dict[str, Any]:
        """Return the captions' part of `result.json`."""
        return {
            "given": printable(self.given),
            "kind": self.kind,
            "captions": self.n_captions,
            "unused": self.n_unused,
            "segments_without": sum(not text for text in self.texts),
            "encoder": self.settings.encoder,
            "weight": self.settings.weight if self.matching is not None else 0.0,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptionSource:
    """Where captions come from, checked before any work is done."""

    given: str
    path: Path
    kind: str
    key: str
    """SHA-256 of the file, or of the weights of the run."""
    settings: CaptionSettings
    encoder: Encoder | None
    told: tuple[Subtitle, ...] = ()
    """Of a file."""

    def speak(self, video: Path) -> list[dict[str, Any]]:
        """Return the captions of the film as JSON-like rows; a run makes them from its shots."""
        if self.kind == "file":
            return [{"start": s.start_s, "end": s.end_s, "sentence": s.text} for s in self.told]
        from segue.tasks.captioning.caption import CaptionConfig, caption

        # segments are made of shots, so captions of proposed events would fit them less
        config = CaptionConfig(limit=self.settings.limit, segments="shots")
        found = caption(video, self.path, None, config)
        rows: list[dict[str, Any]] = found.to_dict()["captions"]
        return rows

    def read(
        self,
        video: Path,
        segments: Sequence[FilmSegment],
        music: Music,
        steps: Steps,
        film: Sequence[Any],
    ) -> FilmCaptions:
        """Return what is said of the segments; what a run says is kept as a step.

        Args:
            video: the film.
            segments: [T].
            music: the library.
            steps: of the run folder.
            film: what identifies the film and how it is watched.
        """
        if self.kind == "file":
            return self.of_film(self.speak(video), segments, music)
        inputs = [VERSION, list(film), self.key, self.settings.limit]
        done = steps.run("captions", inputs, lambda to: self.speak(video))
        return self.of_film(done.value, segments, music)

    def of_film(
        self, rows: Sequence[dict[str, Any]], segments: Sequence[FilmSegment], music: Music
    ) -> FilmCaptions:
        """Give the segments of a film their captions, and tracks what their tags earn.

        Args:
            rows: of `speak`.
            segments: [T].
            music: the library; what is composed later earns nothing.
        """
        times = np.array([[row["start"], row["end"]] for row in rows]).reshape(-1, 2)
        spans = np.array([[float(s.span.start_s), float(s.span.end_s)] for s in segments])
        taken = spoken_of(spans, times)
        texts = tuple(str(rows[n]["sentence"]) if n >= 0 else "" for n in taken)
        return FilmCaptions(
            given=self.given,
            kind=self.kind,
            texts=texts,
            n_captions=len(rows),
            n_unused=len(rows) - len({int(n) for n in taken if n >= 0}),
            matching=self._matching(texts, music),
            settings=self.settings,
        )

    def _matching(self, texts: Sequence[str], music: Music) -> Floats | None:
        if self.encoder is None:
            return None
        tags = [tag_text(track.tags) for track in music.tracks[: music.n_library]]
        found = np.zeros((len(texts), len(tags)))
        said, known = (
            [t for t, text in enumerate(texts) if text],
            [k for k, x in enumerate(tags) if x],
        )
        if said and known:
            first = self.encoder.embed_texts([texts[t] for t in said]).astype(np.float64)
            second = self.encoder.embed_texts([tags[k] for k in known]).astype(np.float64)
            found[np.ix_(said, known)] = self.settings.weight * (first @ second.T)
        return found


def read_captions(given: str | Path | None, settings: CaptionSettings) -> CaptionSource | None:
    """Read captions, or check who makes them, before any work is done; None without any.

    Raises:
        DataError: the file is not one of captions, the run cannot caption films, or the encoder's
            folder holds another model.
        MissingModel: there is no such file or run, or no model in the encoder's folder.
        MissingExtra: the encoder needs a package that is not installed.
    """
    if given is None:
        return None
    path = Path(given)
    if path.is_dir():
        kind, key = "run", _checked_run(path)
        told: list[Subtitle] = []
    else:
        kind, told = "file", _read_file(path)
        key = known_sha256(path)
    encoder: Encoder | None = None
    if settings.encoder:
        from segue.media.embed.sentences import SentenceEncoder

        encoder = SentenceEncoder(Path(settings.encoder).expanduser())
    return CaptionSource(
        given=str(given), path=path, kind=kind, key=key, settings=settings, encoder=encoder,
        told=tuple(told),
    )  # fmt: skip


def spoken_of(spans: Floats, times: Floats) -> NDArray[np.int64]:
    """Return [T] which caption each segment takes: that of the longest overlap, -1 for none.

    An overlap counts where it is a quarter of the segment or of the caption.

    Args:
        spans: [T, 2] start and end of the segments.
        times: [N, 2] of the captions.
    """
    if not len(times):
        return np.full(len(spans), -1, dtype=np.int64)
    low = np.maximum(spans[:, None, 0], times[None, :, 0])
    high = np.minimum(spans[:, None, 1], times[None, :, 1])
    shared = np.maximum(high - low, 0.0)
    shorter = np.minimum(np.ptp(spans, axis=1)[:, None], np.ptp(times, axis=1)[None])
    shared[shared < _SHORTEST * np.maximum(shorter, 1e-9)] = 0.0
    best = shared.argmax(axis=1)
    found: NDArray[np.int64] = np.where(shared.max(axis=1) > 0, best, -1).astype(np.int64)
    return found


def tag_text(tags: dict[str, str]) -> str:
    """Return what a track's tags say of its music, in one text; empty without any."""
    found = [" ".join(tags.get(name, "").split()) for name in _TAGS]
    return ", ".join(dict.fromkeys(text for text in found if text))


def _checked_run(folder: Path) -> str:
    from segue.tasks.captioning.models.stored import load_captioner

    stored = load_captioner(folder)
    if stored.facts.get("proxy"):
        raise DataError(
            "this captioner has learned from proxy features, which no film has",
            where=folder,
            advice="Give a run that was trained on features of films",
        )
    return stored.sha256


def _read_file(path: Path) -> list[Subtitle]:
    try:
        rows = read_json(path)
    except FileNotFoundError:
        raise DataError("there is no such file of captions, and no such run", where=path) from None
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"is not a file of captions: {error}", where=path) from None
    if not isinstance(rows, list) or not rows:
        raise DataError(
            "holds no captions",
            where=path,
            advice='Wanted: [{"start": 0, "end": 9.5, "sentence": "..."}]',
        )
    told = []
    for n, row in enumerate(rows):
        where = f"{path}, item {n}"
        values = row if isinstance(row, dict) else {}
        start, end, text = (values.get(name) for name in ("start", "end", "sentence"))
        good = isinstance(start, int | float) and isinstance(end, int | float)
        if (
            not good
            or isinstance(start, bool)
            or not 0 <= float(start or 0) < float(end or 0) < 1e7
        ):
            raise DataError("has no stretch of time: start and end", where=where)
        if not isinstance(text, str) or not text.strip():
            raise DataError("has no text: sentence", where=where)
        told.append(Subtitle(float(start or 0), float(end or 0), " ".join(text.split())))
    return told
