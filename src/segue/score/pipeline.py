"""`score`: the product, from a video and a folder of music to a scored film and its timeline.

1. understand    watch the film, find its dialogue, divide it into segments
2. listen        analyse the library (at the same time)
3. compose       make music for segments that want it (`--compose`, `--generate`)
4. choose        plan the music by the reward of the soundtrack task
5. mix           lay the tracks out as cues and render the sound
6. mux           put the sound to the untouched picture
7. timeline      the neutral timeline and its exports
8. report        one page that shows and explains the result

Every step is kept in the run folder under a fingerprint of its inputs, so that a changed option
re-runs only what depends on it, and a killed run goes on where it stopped.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from segue.core.digests import known_sha256
from segue.core.errors import DataError, MediaError, printable
from segue.core.files import atomic_write, write_json
from segue.core.names import resolve
from segue.core.progress import AddBar, progress_bars
from segue.core.versions import versions
from segue.media.embed import Embedder
from segue.media.embed import make as make_embedder
from segue.media.embed.affect import vector
from segue.media.films import VERSION as WATCH_VERSION
from segue.media.films import Film, watch
from segue.media.layout import Part, lay_out
from segue.media.source import MediaInfo, probe
from segue.score.background import Background
from segue.score.captions import CaptionSource, FilmCaptions, read_captions
from segue.score.choose import build_product_tables, choose, hear_segments, policy_agent, reserve
from segue.score.compose.step import Written, may_compose
from segue.score.config import ScoreConfig
from segue.score.curves import build_report_data
from segue.score.embedding import embed
from segue.score.export import EXPORTERS, export_all
from segue.score.generated import Maker, find_players, make_music
from segue.score.library import Music, listen
from segue.score.listener import Listener, Verdict, read_listener, with_favour
from segue.score.locks import Locks, check_form, parse_locks
from segue.score.output import OutputFolder
from segue.score.preferences import notice, shown_before
from segue.score.report import write_report
from segue.score.result import build_result, build_timeline
from segue.score.sound import limiting_note, mix_sound, put_to_picture
from segue.score.steps import Done, Steps
from segue.score.understand import FilmSegment, divide
from segue.tasks.soundtrack.agents import make_agent
from segue.tasks.soundtrack.agents.plan import with_locks
from segue.tasks.soundtrack.preferences import add_preferences
from segue.tasks.soundtrack.tables import Tables

__all__ = ["score"]

VERSION = 3
"""Raised when a step's code changes what it makes, so that kept results are not used."""

T = TypeVar("T")


def score(
    video: Path,
    library: Path | None,
    out: Path,
    config: ScoreConfig | None = None,
    *,
    listener: str | Path | None = None,
    captions: str | Path | None = None,
    locks: Sequence[str] = (),
    overwrite: bool = False,
    show_progress: bool = False,
) -> dict[str, Any]:
    """Score a video with music from a library, or composed for it.

    Args:
        video: a file with a picture.
        library: a folder of music; None if everything is to be composed.
        out: where the products go; must be empty, unfinished, or new unless `overwrite`.
        config: settings; defaults when None.
        listener: a listening history whose tracks, artists and genres are preferred: a file, or a
            text "artist - title; artist - title".
        captions: captions of the film (a JSON file), or a run of `segue captioning` to make them.
        locks: `SEGMENT=TRACK` or `SEGMENT=compose` texts that fix the music of segments.
        overwrite: replace an earlier result in `out`.
        show_progress: show bars on stderr when it is a terminal.

    Returns:
        The content of `result.json`.

    Raises:
        MediaError: the video cannot be used.
        DataError: the library, the listening history or the captions cannot be used.
        UsageError: a lock, setting, or the output folder is wrong.
    """
    config = config or ScoreConfig()
    make_agent(policy_agent(config.choose.policy))  # wrong names fail before any work
    for name in config.exports:
        resolve(EXPORTERS, name, "exporter")
    check_form(locks)
    asked = may_compose(config, library, locks)
    folder_of_model = Path(config.embedder_folder) if config.embedder_folder else None
    embedder = make_embedder(config.embedder, folder_of_model)
    voice, notes = find_players(config, asked)
    who = read_listener(listener, config.listener, library)
    source = read_captions(captions, config.captions)
    info = probe(video)
    if info.video is None:
        raise MediaError(
            "there is no picture in it, only sound",
            where=video,
            advice="Give a file with a video stream",
        )
    with OutputFolder(out, overwrite=overwrite, inputs=(video,)) as folder:
        atomic_write(folder.run / "config.toml", config.to_toml())
        write_json(folder.run / "versions.json", versions())
        with progress_bars(shown=show_progress) as add:
            job = _Job(video, info, library, folder, config, locks, embedder, voice, add)
            job.listener, job.captions = who, source
            job.warnings += notes
            return job.run()


class _Job:
    """One call of `score`; its methods are the numbered steps."""

    def __init__(
        self,
        video: Path,
        info: MediaInfo,
        library: Path | None,
        folder: OutputFolder,
        config: ScoreConfig,
        locks: Sequence[str],
        embedder: Embedder,
        voice: Maker | None,
        add: AddBar,
    ) -> None:
        self.embedder, self.voice = embedder, voice
        self.listener: Listener | None = None
        self.verdict: Verdict | None = None
        self.captions: CaptionSource | None = None
        self.said: FilmCaptions | None = None
        self.video, self.info, self.library = video, info, library
        self.folder, self.config, self.locks, self.add = folder, config, locks, add
        self.steps = Steps(folder.run / "steps")
        self.warnings: list[str] = []
        self.timings_s: dict[str, float] = {}

    def run(self) -> dict[str, Any]:
        started = time.perf_counter()
        film, music, content = self.understand_and_listen()
        segments = divide(film, self.config.segments)
        before = shown_before(self.folder.path / "result.json")
        locks = parse_locks(self.locks, music.names, len(segments))
        if self.listener is not None:
            self.verdict = self.listener.judge(music)
            self.warnings += self.verdict.notes()
        if (source := self.captions) is not None:
            film_key = [WATCH_VERSION, content]
            self.said = source.read(self.video, segments, music, self.steps, film_key)
            self.warnings += self.said.notes()
        music, written = self.compose(film, segments, music, locks)
        choice = self.choose(segments, music, locks, content)
        self.note_preferences(segments, music, locks, content, before)
        parts = lay_out(
            [s.span for s in segments],
            choice.value["tracks"],
            music.playables(),
            self.config.layout,
        )
        mix = self.mix(film, music, parts, content)
        muxed = self.mux(mix, content)
        timeline = build_timeline(
            self.video, self.info, film, segments, music, parts, choice.value, mix, self.folder.path
        )
        exports = self.steps.run(
            "timeline",
            [VERSION, timeline.to_dict(), self.config.exports],
            lambda to: export_all(timeline, to, self.config.exports),
        )
        self.timings_s |= self.steps.timings_s
        self.timings_s["total"] = time.perf_counter() - started
        result = build_result(
            video=self.video,
            info=self.info,
            film=film,
            segments=segments,
            music=music,
            parts=parts,
            choice=choice.value,
            verdict=self.verdict,
            captions=self.said,
            composed=written.facts(),
            mix=mix.value,
            muxed=muxed.value,
            lost=exports.value,
            timings_s={k: round(v, 3) for k, v in self.timings_s.items()},
            warnings=[*film.picture.warnings, *music.warnings, *self.warnings],
            config=self.config,
        )
        work = self.folder.run / "result.json"
        report = self.folder.run / "report.html"
        data = build_report_data(
            self.video, film, segments, music, parts, mix, muxed.value["path"], self.command()
        )
        write_report(result, data, report)
        write_json(work, result)
        products = {
            muxed.value["path"]: muxed.folder / muxed.value["path"],
            "soundtrack.wav": mix.folder / "mix.wav",
            **{f"stems/{name}": mix.folder / name for name in mix.value["stems"]},
            **written.products(),
            **{
                path.name: path
                for path in sorted(exports.folder.iterdir())
                if path.name != "done.json"
            },
            "report.html": report,
            "result.json": work,
        }
        self.folder.publish(products)
        return result

    def command(self) -> str:
        """Return the command line that makes this result again, settings and locks included."""
        words = ["segue", "score", self.video, "--out", self.folder.path]
        if self.library is not None:
            words[3:3] = ["--library", self.library]
        if self.listener is not None:
            words += ["--listener", self.listener.given]
        if self.captions is not None:
            words += ["--captions", self.captions.given]
        if self.config != ScoreConfig():
            words += ["--config", self.folder.run / "config.toml"]
        for lock in self.locks:
            words += ["--lock", lock]
        return shlex.join([*map(printable, words), "--overwrite"])

    def understand_and_listen(self) -> tuple[Film, Music, str]:
        """Watch the film and hear the library side by side; both take a core."""
        content = known_sha256(self.video)
        watching = self.add("Watching the film", float(self.info.duration_s))
        found: list[Film] = []
        film = Background(
            lambda: found.append(self.timed("understand", lambda: watch(self.video, watching)))
        )
        music = Music.nothing()
        if (folder := self.library) is not None:
            music = self.timed(
                "listen",
                lambda: listen(
                    folder,
                    min_track_s=self.config.layout.min_track_s,
                    workers=self.config.workers,
                    begin=lambda n_files: self.add("Listening to the library", n_files),
                ),
            )
        film.join()
        return found[0], music, content

    def compose(
        self, film: Film, segments: list[FilmSegment], music: Music, locks: Locks
    ) -> tuple[Music, Written]:
        """Write music for the segments that want it, or let a model make it."""
        if self.voice is None:
            return music, Written()
        making = self.add("Composing", None)
        told = self.said.texts if self.said else ()
        music, written = make_music(
            self.steps, segments, film.speech, told, music, locks, self.config, self.voice, making
        )
        making(1.0)
        self.warnings += written.notes
        return music, written

    def choose(self, segments: list[FilmSegment], music: Music, locks: Locks, content: str) -> Done:
        """Plan which track plays under which segment."""
        config = self.config
        composed = music.composed_for()
        choosing = self.add("Choosing the music", None)
        inputs = [
            VERSION,
            [WATCH_VERSION, content],
            config.segments.model_dump(mode="json"),
            config.layout.min_track_s,
            music.key,
            config.embedder,
            config.embedder_folder,
            config.choose.model_dump(mode="json"),
            config.seed,
            sorted(locks.tracks.items()),
            sorted(composed.items()),
            *([self.verdict.inputs] if self.verdict else []),
            *(self.said.inputs if self.said else []),
        ]

        def build(to: Path) -> Any:
            tables, _, _ = self.tables(segments, music)
            return choose(
                tables, locks.tracks, config.choose, config.seed, composed, self.favour(music),
                self.told(music),
            )  # fmt: skip

        done = self.steps.run("choose", inputs, build)
        choosing(1.0)
        return done

    def favour(self, music: Music) -> Any | None:
        """Return [K] what the listener's preference pays for each track, or None."""
        return self.verdict.favour(len(music.tracks)) if self.verdict else None

    def told(self, music: Music) -> Any | None:
        """Return [T, K] what the captions pay for each track, or None."""
        return self.said.earned(len(music.tracks)) if self.said else None

    def tables(self, segments: list[FilmSegment], music: Music) -> tuple[Tables, Any, Any]:
        """Return the reward tables, and the vectors of segments and tracks."""
        wanted, heard = embed(self.embedder, self.video, segments, music)
        spans = [s.span for s in segments]
        tables = build_product_tables(music.embedded(heard), spans, wanted, self.config.choose)
        if self.config.embedder == "affect":
            parts = {
                (t, k): vector(music.heard_under(t, k)) for t, k in music.composed_for().items()
            }
            tables = hear_segments(tables, wanted, parts)
        return tables, wanted, heard

    def note_preferences(
        self,
        segments: list[FilmSegment],
        music: Music,
        locks: Locks,
        content: str,
        before: dict[tuple[float, float], str],
    ) -> None:
        """Log which tracks the user put in the place of others; a policy can learn from them."""
        spans = {t: (float(s.span.start_s), float(s.span.end_s)) for t, s in enumerate(segments)}
        if all(before.get(spans[t]) == music.names[k] for t, k in locks.tracks.items()):
            return  # none, or those of the result that is there: nothing was replaced
        tables, wanted, heard = self.tables(segments, music)
        if (favour := self.favour(music)) is not None:
            tables = with_favour(tables, favour)
        if (told := self.told(music)) is not None:
            tables = with_favour(tables, told)
        if composed := music.composed_for():
            tables = with_locks(reserve(tables, composed), composed)
        found = notice(
            film=content,
            segments=segments,
            names=music.names,
            wanted=wanted,
            heard=heard,
            embedder=self.config.embedder,
            tables=tables,
            locks=locks.tracks,
            before=before,
            policy=self.config.choose.policy,
            seed=self.config.seed,
        )
        path = self.folder.run / "preferences.jsonl"
        try:
            add_preferences(path, found)
        except DataError as error:  # a log that was edited must not cost the film
            self.warnings.append(f"choices not logged: {error}")

    def mix(self, film: Film, music: Music, parts: list[Part], content: str) -> Done:
        """Render the sound, and pass on what should be known of it."""
        settings = self.config.mix
        rendering = self.add("Mixing", float(film.picture.duration_s))
        done = mix_sound(
            self.steps, self.video, self.info, content, film, music, parts, settings, rendering
        )
        self.warnings += [*done.value["warnings"], *limiting_note(done, settings)]
        return done

    def mux(self, mix: Done, content: str) -> Done:
        """Put the mixed sound to the picture, which is copied untouched."""
        putting = self.add("Writing the film", float(self.info.duration_s))
        done = put_to_picture(
            self.steps, self.video, self.info, content, mix, self.config.mix, putting
        )
        self.warnings += done.value["warnings"]
        self.warnings += [f"not in the scored film: {what}" for what in done.value["not_carried"]]
        return done

    def timed(self, name: str, work: Callable[[], T]) -> T:
        """Run one part and note how long it took."""
        started = time.perf_counter()
        try:
            return work()
        finally:
            self.timings_s[name] = time.perf_counter() - started
