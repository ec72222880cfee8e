"""Settings of `prepare`. The defaults are the original's where it had the choice."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from segue.core.config import Config

__all__ = ["Format", "Identity", "PrepareConfig", "Split"]

Format = Literal["auto", "lastfm", "listenbrainz", "csv", "parquet", "sessions", "sequences"]
"""What the source is; `auto` looks at its name and its first line."""
Identity = Literal["artist_title", "title", "mbid"]
"""What makes two plays plays of the same track."""
Split = Literal["auto", "given", "time", "last", "session", "windows_leaky"]
"""How the sessions are divided; see `splits`."""


class PrepareConfig(Config):
    """How a log of listening becomes sessions, a vocabulary and a split."""

    format: Format = "auto"
    """What the source is: `lastfm` (the raw Last.fm-1K log), `listenbrainz` (JSON lines), `csv`
    (with a header; tabs, commas or semicolons), `parquet`, `sessions` (one a line, with
    `session_id` and `track_ids`), `sequences` (one a user, with `user_id` and `artist_ids`)."""
    name: str = ""
    """Name of the data set in tables; empty: the name of the source."""
    strict: bool = False
    """Stop at the first row that cannot be used, instead of counting it."""

    user_column: str = "user"
    """Column of `csv` and `parquet` that says who listened."""
    time_column: str = "time"
    """Column of `csv` and `parquet` with the start of the play: seconds since 1970 or ISO 8601."""
    track_column: str = "track"
    """Column of `csv` and `parquet` with the title of the track, or its number."""
    artist_column: str = "artist"
    """Column of `csv` and `parquet` with the artist; not needed."""
    skipped_column: str = "skipped"
    """Column of `csv` and `parquet` that says whether the play was broken off; not needed."""

    identity: Identity = "artist_title"
    """What makes two plays the same track. `title` is the original's, which takes the songs of
    different artists with one title for one track; `mbid` is the MusicBrainz number of the track
    where there is one, else artist and title."""
    users_share: float = Field(1.0, gt=0, le=1)
    """Share of the users that is taken, with all that they played (the original: 0.5)."""
    min_plays: int | None = Field(None, ge=1)
    """Tracks that are played less often in the whole log are left out. Default: 5 (the original's)
    for a log of plays, 1 for sessions that are ready-made."""
    duplicates: Literal["keep", "drop"] = "keep"
    """What happens to the same track at the same second by the same user (the original: keep)."""
    gap_minutes: float = Field(30.0, ge=0)
    """A session ends where the next play starts more than this later (the original's); `inf`
    leaves each user one session."""
    min_length: int | None = Field(None, ge=1)
    """Sessions of fewer plays are left out. Default: 5 (the original's) for a log of plays, 2 for
    sessions that are ready-made."""
    max_length: int | None = Field(None, ge=2)
    """Longer sessions are cut into pieces of this many plays. Default: no limit."""

    split: Split = "auto"
    """How the sessions are divided: `time`, `last`, `session`; `given` is the source's own, and
    `windows_leaky` the original's, which leaks. Default: `given` where the source brings one,
    `last` where it has no clock, else `time`."""
    validation_share: float = Field(0.1, gt=0, lt=1)
    """Share of the sessions that is kept for choosing (the original's); with `given`, the share of
    its training sessions. Not for `last`."""
    test_share: float = Field(0.1, gt=0, lt=1)
    """Share of the sessions that is kept for the final test (the original's). Not for `last`."""
    validation_from: str = ""
    """With `time`: the first day of the validation sessions, as in 2009-01-01, instead of a
    share."""
    test_from: str = ""
    """With `time`: the first day of the test sessions instead of a share."""
    window: int = Field(50, ge=2)
    """With `windows_leaky`: the longest window (the original's)."""
    keep_unseen: bool = False
    """Whether tracks that occur in test sessions alone have numbers of their own. Without, they are
    `UNKNOWN` there, as no model could know them."""
    seed: int = Field(0, ge=0)
    """Seed of the sample of users and of the random splits."""

    memory_gb: float = Field(4.0, gt=0)
    """Memory that DuckDB may use before it writes to a temporary folder beside `--out`."""
    threads: int = Field(2, ge=1)
    """Threads that DuckDB may use."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.validation_share + self.test_share >= 1:
            raise ValueError("validation_share and test_share leave nothing to learn from")
        if bool(self.validation_from) != bool(self.test_from):
            raise ValueError("validation_from and test_from must be given together")
        if self.min_length and self.max_length and self.min_length > self.max_length:
            raise ValueError("min_length is greater than max_length")
        return self
