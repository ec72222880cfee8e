"""From what somebody heard to how much they may like each track of a library.

A track is liked for itself, for its artist and for its genres. Each of these is one formula of two
numbers, the plays `p` and the plays that were broken off `s`, both faded: a play counts half as
much for every half-life that lies between it and the newest play of the history.

    known(p)    = log(1 + p) / log(1 + max(most, enough))      0..1
    kept(p, s)  = (1 + p) / (1 + p + s)                        0..1
    score       = kept(track) * (w_track * known(track)
                                 + w_artist * known(artist) * kept(artist)
                                 + w_genre * known(genre) * kept(genre))

`most` is the largest p of its kind, so that listeners of ten plays and of a million use the same
scale; `enough` keeps one play from being everything. The weights are divided by their sum: the
score is 0..1. What was never met has p = s = 0, thus known = 0 and kept = 1. The fading is by the
history's own clock, never by today's: the same files give the same score tomorrow.

A history names no genres. Those of an artist are read from the library's tags: a genre was heard as
often as the artists who have a track of it there. Of several genres of a track the best known
counts. All of it is our own choice, for it to be explained in one sentence for each track.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from pydantic import Field, model_validator

from segue.core.config import Config
from segue.tasks.playlist.history import History
from segue.tasks.playlist.history_formats import bare_stem, file_label
from segue.tasks.playlist.spelling import spelling_key

__all__ = ["Count", "Liking", "Named", "Taste", "TasteSettings"]

DAY_S = 86_400

_BETWEEN_ARTISTS = re.compile(r";|\0|\s/\s")
_BETWEEN_GENRES = re.compile(r"[;,/|\0]")
_NO_GENRE = {"", "other", "unknown"}
"""What programs write where nobody chose a genre."""


class TasteSettings(Config):
    """How a listening history becomes a preference."""

    half_life_days: float = Field(180.0, gt=0)
    """A play counts half as much after so many days (own choice)."""
    half_life_plays: float = Field(1000.0, gt=0)
    """The same in plays, for a history without times (own choice)."""
    track: float = Field(0.5, ge=0)
    """Weight of the track itself (own choice)."""
    artist: float = Field(0.35, ge=0)
    """Weight of its artist (own choice)."""
    genre: float = Field(0.15, ge=0)
    """Weight of its genre (own choice)."""
    enough: float = Field(4.0, gt=0)
    """Plays from which on something can be a favourite, however short the history (own choice)."""

    @model_validator(mode="after")
    def _something_counts(self) -> Self:
        if self.track + self.artist + self.genre <= 0:
            raise ValueError("one of track, artist and genre must be above 0")
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """What a music file says of itself."""

    artist: str
    """Empty where neither tags nor the file's name say it."""
    title: str
    genres: tuple[str, ...] = ()
    by_file_name: bool = False
    """Whether artist and title are read from "Artist - Title.mp3"."""

    @classmethod
    def of(cls, tags: Mapping[str, str], stem: str) -> Self:
        """Read tags (keys in lower case), else the name of the file without its suffix."""
        genres = _BETWEEN_GENRES.split(tags.get("genre", ""))
        known = tuple(g.strip() for g in genres if g.strip().casefold() not in _NO_GENRE)
        artist = (tags.get("artist") or tags.get("album_artist") or "").strip()
        title = tags.get("title", "").strip()
        if artist and title:
            return cls(artist=artist, title=title, genres=known)
        found = file_label(stem)
        if artist:  # the name of the file is the title, perhaps with the artist before it
            same = found is not None and spelling_key(found[0]) == spelling_key(artist)
            title = found[1] if found is not None and same else bare_stem(stem)
            return cls(artist=artist, title=title, genres=known, by_file_name=True)
        if found is None:
            return cls(artist="", title=title, genres=known)
        return cls(artist=found[0], title=title or found[1], genres=known, by_file_name=True)


@dataclass(slots=True)
class Count:
    """Plays of one thing."""

    faded: float = 0.0
    """p: plays that were not broken off, each by how long ago it was."""
    faded_skips: float = 0.0
    """s: the same of those that were."""
    plays: int = 0
    skips: int = 0

    def add(self, other: Count) -> None:
        """Count those of another thing, too."""
        self.faded += other.faded
        self.faded_skips += other.faded_skips
        self.plays += other.plays
        self.skips += other.skips

    @property
    def met(self) -> bool:
        """Whether it was heard, or broken off."""
        return bool(self.plays or self.skips)

    def known(self, most: float) -> float:
        """Return how well it is known beside the best known of its kind, 0..1."""
        return math.log1p(self.faded) / math.log1p(most)

    def kept(self) -> float:
        """Return the share of its plays that were not broken off, one more of them assumed."""
        return (1.0 + self.faded) / (1.0 + self.faded + self.faded_skips)


@dataclass(frozen=True, slots=True, kw_only=True)
class Liking:
    """How much a listener may like one track, and why."""

    score: float
    """0..1."""
    track: Count
    artist: Count
    genre: Count
    genre_name: str
    """Which of the track's genres counts; empty if none was heard."""
    reason: str
    """In words: "heard 12 times; artist heard 80 times"."""

    @property
    def by(self) -> str:
        """What the listener knows of it: "track", else "artist", else "genre", else ""."""
        known = {"track": self.track, "artist": self.artist, "genre": self.genre}
        return next((name for name, count in known.items() if count.met), "")


class Taste:
    """Everything that was heard, added up."""

    def __init__(self, history: History, settings: TasteSettings | None = None) -> None:
        self.settings = settings or TasteSettings()
        self.tracks: dict[tuple[str, str], Count] = defaultdict(Count)
        self.artists: dict[str, Count] = defaultdict(Count)
        keys: dict[str, str] = {}

        def key(text: str) -> str:
            found = keys.get(text)
            if found is None:
                found = keys[text] = spelling_key(text)
            return found

        for play, weight in zip(history, _fading(history, self.settings), strict=True):
            one = Count(0.0, weight, 0, 1) if play.skipped else Count(weight, 0.0, 1, 0)
            artist = key(play.artist)
            self.tracks[artist, key(play.title)].add(one)
            self.artists[artist].add(one)
        self._most_track = self._most(self.tracks.values())
        self._most_artist = self._most(self.artists.values())

    def judge(self, library: Sequence[Named]) -> list[Liking]:
        """Return how much each track of a library may be liked."""
        artists = [self._artist_key(named.artist) for named in library]
        genres = self._genres(library, artists)
        most = self._most(genres.values())
        weights = self.settings
        total = weights.track + weights.artist + weights.genre
        likings = []
        for named, artist in zip(library, artists, strict=True):
            track = self.tracks.get((artist, spelling_key(named.title)), Count())
            by_artist = self.artists.get(artist, Count())
            heard = {g: genres.get(g.casefold(), Count()) for g in named.genres}
            best = max(heard, key=_by_faded(heard), default="")
            by_genre = heard.get(best, Count())
            score = (
                track.kept()
                * (
                    weights.track * track.known(self._most_track)
                    + weights.artist * by_artist.known(self._most_artist) * by_artist.kept()
                    + weights.genre * by_genre.known(most) * by_genre.kept()
                )
                / total
            )
            best = best if by_genre.met else ""
            likings.append(
                Liking(
                    score=min(max(score, 0.0), 1.0),
                    track=track,
                    artist=by_artist,
                    genre=by_genre,
                    genre_name=best,
                    reason=_reason(named, track, by_artist, by_genre, best),
                )
            )
        return likings

    def _artist_key(self, artist: str) -> str:
        """Return the key of an artist, or of the first of several that was heard."""
        if not artist:
            return ""
        parts = [artist, *_BETWEEN_ARTISTS.split(artist)]
        keys = [spelling_key(part) for part in parts if part.strip()]
        return next((key for key in keys if key in self.artists), keys[0] if keys else "")

    def _genres(self, library: Sequence[Named], artists: Sequence[str]) -> dict[str, Count]:
        """Return the plays of each genre: those of the artists with a track of it, each once."""
        of: dict[str, dict[str, None]] = defaultdict(dict)
        for named, artist in zip(library, artists, strict=True):
            if artist in self.artists:
                for genre in named.genres:
                    of[genre.casefold()][artist] = None
        counts: dict[str, Count] = defaultdict(Count)
        for genre, heard in of.items():
            for artist in heard:
                counts[genre].add(self.artists[artist])
        return dict(counts)

    def _most(self, counts: Iterable[Count]) -> float:
        return max([self.settings.enough, *(count.faded for count in counts)])


def _by_faded(counts: Mapping[str, Count]) -> Callable[[str], float]:
    return lambda name: counts[name].faded


def _fading(history: History, settings: TasteSettings) -> list[float]:
    """Return the weight of each play, 1 for the newest."""
    times = [play.time for play in history if play.time is not None]
    if not times:
        n = len(history)
        return [2.0 ** (-(n - 1 - i) / settings.half_life_plays) for i in range(n)]
    newest, oldest = max(times), min(times)
    unit = DAY_S * settings.half_life_days
    # A play without a time among others with one counts as the oldest.
    return [2.0 ** (((oldest if p.time is None else p.time) - newest) / unit) for p in history]


def _reason(named: Named, track: Count, artist: Count, genre: Count, genre_name: str) -> str:
    if not named.artist:
        said = "no artist in its tags or its file name"
        return f"{said}; genre {genre_name} {_heard(genre)}" if genre_name else said
    parts = [_heard(track)] if track.met else []
    parts += [f"artist {_heard(artist)}"] if artist.met else []
    parts += [f"genre {genre_name} {_heard(genre)}"] if genre_name else []
    said = "; ".join(parts) or "not in the history, nor its artist or genre"
    return f"{said} (by its file name)" if named.by_file_name else said


def _heard(count: Count) -> str:
    said = [f"heard {_times(count.plays)}"] if count.plays else []
    said += [f"broken off {_times(count.skips)}"] if count.skips else []
    return " and ".join(said)


def _times(n: int) -> str:
    return {1: "once", 2: "twice"}.get(n, f"{n} times")
