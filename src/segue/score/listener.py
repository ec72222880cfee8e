"""The listener: a preference for what somebody likes to hear, from their listening history.

The preference of a track is its score in `tasks.playlist.taste`, 0..1, times `listener.weight`; it
is paid for every segment that the track plays under, as the fit is. It is added to the table of the
fit, where every policy finds it, and told apart again in the result: the reward's terms are
`alignment` for the fit and `listener` for this. What the film would get without it is planned too,
so that the result can say what it changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import UsageError, printable
from segue.score.config import ListenerSettings
from segue.score.library import Music
from segue.tasks.playlist.history import History, read_history
from segue.tasks.playlist.taste import Liking, Named, Taste
from segue.tasks.soundtrack.agents.plan import Plan
from segue.tasks.soundtrack.tables import Tables

__all__ = ["TERM", "Listener", "Verdict", "apart", "earned_by", "read_listener", "with_favour"]

Floats = NDArray[np.float64]

TERM = "listener"
"""Name of the reward term."""

VERSION = 1
"""Raised when the code changes what a history means, so that kept choices are not used."""

_NAMED_IN_A_NOTE = 5
_FAVOURITES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """Whose taste counts."""

    given: str
    """As the command line names it."""
    history: History
    settings: ListenerSettings

    def judge(self, music: Music) -> Verdict:
        """Say how much each track of a library may be liked; what is composed is not judged."""
        library = range(music.n_library)
        named = [Named.of(music.tracks[k].tags, music.tracks[k].path.stem) for k in library]
        return Verdict(
            listener=self,
            names=music.names[: music.n_library],
            named=tuple(named),
            likings=tuple(Taste(self.history, self.settings).judge(named)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the listener thinks of a library of `K` tracks."""

    listener: Listener
    names: tuple[str, ...]
    """[K]."""
    named: tuple[Named, ...]
    """[K]."""
    likings: tuple[Liking, ...]
    """[K]."""

    @property
    def inputs(self) -> list[Any]:
        """What a choice depends on because of the listener."""
        history, settings = self.listener.history, self.listener.settings
        return [VERSION, history.key, settings.model_dump(mode="json")]

    def favour(self, n_tracks: int) -> Floats:
        """Return [n_tracks] what each track earns in every segment; the last are composed: 0."""
        scores = np.zeros(n_tracks)
        scores[: len(self.likings)] = [liking.score for liking in self.likings]
        return self.listener.settings.weight * scores

    def notes(self) -> list[str]:
        """Return what the user should know."""
        said = self.listener.history.notes()
        unnamed = self.unnamed
        if unnamed:
            shown = ", ".join(unnamed[:_NAMED_IN_A_NOTE])
            more = f" and {len(unnamed) - _NAMED_IN_A_NOTE} more"
            said.append(
                f"{_tracks(len(unnamed))} of the library cannot be looked up in the history: no "
                f'artist and title, neither in tags nor as "Artist - Title" in the name of the '
                f"file: {shown}{more if len(unnamed) > _NAMED_IN_A_NOTE else ''}"
            )
        if not any(liking.by for liking in self.likings):
            said.append(
                "nothing of the library is in the listening history, no track, artist or genre: "
                "the choice is as without it"
            )
        return said

    @property
    def unnamed(self) -> list[str]:
        """Names of the tracks that cannot be looked up."""
        named = zip(self.names, self.named, strict=True)
        return [name for name, found in named if not (found.artist and found.title)]

    def of_track(self, track: int) -> dict[str, Any]:
        """Return what is said of one track, for the result."""
        if track >= len(self.likings):
            return {"score": 0.0, "reason": "composed for this film"}
        liking = self.likings[track]
        return {"score": round(liking.score, 4), "reason": printable(liking.reason)}

    def facts(self, choice: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
        """Return the listener's part of `result.json`.

        Args:
            choice: of `choose`.
            names: of all tracks, composed ones included.
        """
        history = self.listener.history
        by = [liking.by for liking in self.likings]
        unnamed = self.unnamed
        chosen, without = choice["tracks"], choice["without_listener"]
        order = sorted(range(len(by)), key=lambda k: (-self.likings[k].score, k))
        best = [k for k in order if self.likings[k].score > 0][:_FAVOURITES]
        return {
            "history": history.source,
            "plays": len(history),
            "lines": history.n_lines,
            "unreadable": history.n_unreadable,
            "first_unreadable": history.first_unreadable,
            "weight": self.listener.settings.weight,
            "library": {
                "tracks": len(by),
                "by_track": by.count("track"),
                "by_artist": by.count("artist"),
                "by_genre": by.count("genre"),
                "not_in_history": sum(
                    not known and name not in unnamed
                    for name, known in zip(self.names, by, strict=True)
                ),
                "without_name": len(unnamed),
                "by_file_name": sum(found.by_file_name for found in self.named),
            },
            "without_name": unnamed,
            "favourites": [{"track": names[k], **self.of_track(k)} for k in best],
            "changed": [
                {"segment": t, "track": names[a], "without": names[b]}
                for t, (a, b) in enumerate(zip(chosen, without["tracks"], strict=True))
                if a != b
            ],
            "fit": choice["terms"]["alignment"],
            "fit_without": without["fit"],
        }


def read_listener(
    given: str | Path | None, settings: ListenerSettings, library: Path | None
) -> Listener | None:
    """Read who listens, before any work is done; None when nobody is named.

    Raises:
        DataError: the history is no such file, or none of its lines can be read.
        UsageError: it is empty, or there is no library to choose from.
    """
    if given is None:
        return None
    if library is None:
        raise UsageError(
            "a listening history says which tracks of a library to prefer, and there is no library",
            where="--listener",
            advice="Give a folder of music with --library",
        )
    # On one line, so that the report's command can repeat it.
    said = str(given) if isinstance(given, Path) else "; ".join(given.splitlines())
    return Listener(given=said, history=read_history(given), settings=settings)


def with_favour(tables: Tables, favour: Floats) -> Tables:
    """Return tables whose fit holds what each track earns in every segment, too.

    Args:
        tables: of the film; no fading.
        favour: [K], or [T, K] by segment, in units of the reward.
    """
    assert not tables.fade_per_s, "the fit fades, the preference must not"
    if tables.weights.alignment:
        bonus = favour / tables.weights.alignment
        return replace(tables, alignment=tables.alignment + bonus)
    allowed = np.isfinite(tables.alignment)
    return replace(
        tables,
        alignment=np.where(allowed, favour, -np.inf),
        weights=replace(tables.weights, alignment=1.0),
    )


def apart(
    plan: Plan, favour: Floats, name: str = TERM
) -> tuple[dict[str, float], dict[str, Floats]]:
    """Return the plan's terms and their parts by segment, with one taken out of the fit.

    Args:
        plan: made with tables of `with_favour`.
        favour: [K], or [T, K] by segment, as it was given there.
        name: of the term.
    """
    earned = earned_by(plan, favour)
    steps = {**plan.step_terms, "alignment": plan.step_terms["alignment"] - earned, name: earned}
    terms = {**plan.terms, "alignment": float(steps["alignment"].sum()), name: float(earned.sum())}
    return terms, steps


def earned_by(plan: Plan, favour: Floats) -> Floats:
    """Return [T] what the tracks of a plan earn by a favour, [K] or [T, K]."""
    if favour.ndim == 1:
        return np.asarray(favour[plan.tracks])
    return np.asarray(favour[np.arange(len(plan.tracks)), plan.tracks])


def _tracks(n: int) -> str:
    return f"{n} track" + ("" if n == 1 else "s")
