"""Mix music under a film: place, duck, balance, level; write the mix and its stems.

1. The clips are decoded, matched in loudness and laid out on lanes (`lanes`).
2. One FFmpeg graph adds the lanes up (`amix`) and ducks them under the speech
   (`sidechaincompress`, with a drawn key: `ducking`). The film's own sound is decoded beside it.
3. Music and original get their balance from their measured loudness.
4. Two-pass loudness: the sum is measured, gets a linear gain and, only where its true peak would be
   too high, a limiter, until the measured loudness is on target (`limiter`).
5. The mix and the stems are written. All have the same gain at every moment, so that the stems add
   up to the mix, sample by sample, within the rounding to 24 bits.

Everything is streamed in blocks of one second through scratch files: memory does not grow with the
film. Files are 48 kHz, 24-bit stereo WAV of exactly `n_samples`. The same input gives the same
bits.
"""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import Field

from segue.core.config import Config
from segue.core.errors import MediaError
from segue.core.progress import Advance, silent
from segue.media.arrange import arrange
from segue.media.audio import stream_audio, write_wav
from segue.media.ducking import Ducking
from segue.media.graph import Samples64
from segue.media.lanes import Lanes, MixClip
from segue.media.limiter import Levelled, level
from segue.media.loudness import RATE_HZ, Loudness, Meter
from segue.media.opening import Faults
from segue.media.source import probe

__all__ = ["RATE_HZ", "MixClip", "MixResult", "MixSettings", "render_mix"]

Interval = tuple[float, float]

_BLOCK = RATE_HZ
_LEAST_SPEECH_S = 0.8
"""Less speech than this has no loudness of its own (two gating blocks)."""
_QUIET_LUFS = -36.0
"""An original below this is room noise: the music is not balanced down to it."""


class MixSettings(Config):
    """How the music sits in the film."""

    loudness_lufs: float = Field(-14.0, ge=-40, le=-5)
    """Integrated loudness of the mix in LUFS: -14 for the web, -23 for broadcast (EBU R 128)."""
    true_peak_dbtp: float = Field(-1.0, ge=-9, le=0)
    """Highest true peak of the result in dBTP (EBU R 128: -1)."""
    encode_margin_db: float = Field(0.5, ge=0, le=3)
    """Kept free under the true peak for what a lossy encoder adds."""
    keep_original: bool = True
    """Keep the film's own sound; false replaces it by the music."""
    duck_db: float = Field(12.0, ge=0, le=36)
    """How far the music goes down under speech; 0 turns ducking off. 12 subtle, 18 standard."""
    duck_attack_s: float = Field(0.2, ge=0.02, le=0.9)
    """Time to be within 1 dB of the depth; it ends when the speech begins."""
    duck_release_s: float = Field(0.8, ge=0.05, le=2.5)
    """Time to come back to full level after the speech."""
    duck_bridge_s: float = Field(1.5, ge=0, le=30)
    """The music stays down in pauses shorter than this, so that it does not pump."""
    bed_lu: float = Field(-3.0, ge=-30, le=20)
    """Music, where it is not ducked, relative to the speech (own choice: with 12 dB of ducking the
    music is 15 LU under the words, in the usual range of 12 to 18)."""
    bed_without_speech_lu: float = Field(3.0, ge=-30, le=30)
    """Music relative to an original without speech (own choice: the music leads)."""
    level_match: float = Field(0.7, ge=0, le=1)
    """Share of the loudness differences between tracks that is taken away (own choice: libraries
    differ by 15 LU for no musical reason, but a calm track may stay softer)."""
    largest_gain_db: float = Field(30.0, ge=0, le=60)
    """Nearly silent sound is not lifted by more than this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MixResult:
    """The files of a mix and what was done to the sound."""

    mix: Path
    music: Path
    """Stem: the music as it is in the mix, ducked."""
    original: Path | None
    """Stem: the film's own sound as it is in the mix."""
    loudness_lufs: float | None
    """None when the film is silent or shorter than 0.4 s."""
    loudness_range_lu: float
    true_peak_dbtp: float | None
    gain_db: float
    """Linear gain on the whole mix."""
    music_gain_db: float
    """Gain on the music before that, for the balance."""
    clip_gains_db: list[float]
    """Gain of each clip against its file, in the order of their starts: the match of the tracks'
    loudness and the balance, without the gain on the whole mix."""
    limiter_db: float
    """Deepest reduction by the limiter."""
    limited_s: float
    """Time with more than 0.1 dB of limiting."""
    duck: list[tuple[float, float]]
    """(time_s, gain_db) of the ducking, to be joined by straight lines."""
    silences: list[Interval]
    """Silence over 0.5 s inside the span of a clip, that is, where music was asked for."""
    warnings: list[str]


def render_mix(
    clips: Sequence[MixClip],
    n_samples: int,
    original: Path | None,
    speech: Sequence[Interval],
    settings: MixSettings,
    folder: Path,
    advance: Advance = silent,
) -> MixResult:
    """Mix music with a film's own sound; writes mix.wav, music.wav and original.wav.

    Args:
        clips: the music; none gives a film without music.
        n_samples: length of the film in samples at 48 kHz.
        original: the film, for its own sound; None when it has none.
        speech: intervals (start_s, end_s) on the picture's clock under which the music is ducked.
        settings: levels.
        folder: where to write; created if needed.
        advance: called with the share of the work done, in total about 1.

    Raises:
        MediaError: a file cannot be read or written, or a clip lies outside the film.
    """
    if n_samples <= 0:
        raise MediaError(f"a film of {n_samples} samples", advice="Give a picture with a duration")
    with _scratch_folder(folder) as scratch:
        film = _Film(clips, n_samples, settings, scratch, advance)
        film.arrange_music(speech)
        if original is not None and settings.keep_original:
            film.take_original(original, speech)
        film.balance()
        return film.finish(folder)


class _Film:
    """One run of `render_mix`: its scratch files and what was measured so far."""

    def __init__(
        self,
        clips: Sequence[MixClip],
        n_samples: int,
        settings: MixSettings,
        scratch: Path,
        advance: Advance,
    ) -> None:
        self.n_samples = n_samples
        self.settings = settings
        self.scratch = scratch
        self.advance = advance
        self.warnings: list[str] = []
        self.lanes = Lanes(clips, n_samples, scratch / "clips", settings.level_match)
        for path, n_damaged in self.lanes.damaged.items():
            self.warnings.append(f"{n_damaged} damaged packets in {os.fsdecode(path)}")
        advance(0.25)
        self.ducking = Ducking(keys=(), depth_db=0.0, attack_s=0.2, release_s=0.8)
        self.music = Loudness(None, 0.0, None)
        self.original = Loudness(None, 0.0, None)
        self.spoken = Loudness(None, 0.0, None)
        self.has_original = False
        self.music_gain_db = 0.0
        self.silences: list[Interval] = []

    def arrange_music(self, speech: Sequence[Interval]) -> None:
        """Add the music up, ducked under the speech, in a scratch file."""
        settings = self.settings
        self.ducking = Ducking.under(
            speech,
            self.n_samples / RATE_HZ,
            depth_db=settings.duck_db if self.lanes.placed else 0.0,
            attack_s=settings.duck_attack_s,
            release_s=settings.duck_release_s,
            bridge_s=settings.duck_bridge_s,
        )
        arranged = arrange(self.lanes, self.ducking, self.scratch / "music")
        self.music, self.silences = arranged.loudness, arranged.silences
        self._report_ends()
        self.advance(0.15)

    def take_original(self, path: Path, speech: Sequence[Interval]) -> None:
        """Decode the film's own sound onto the picture's clock; measure it, and its speech."""
        info = probe(path)
        if info.audio is None:
            return
        self.has_original = True
        faults = Faults()
        origin_s = info.video.start_s if info.video else None
        whole, spoken = Meter(true_peak=False), Meter(true_peak=False)
        position = 0
        with (self.scratch / "original").open("wb") as file:
            for raw in stream_audio(path, RATE_HZ, 2, _BLOCK, origin_s=origin_s, faults=faults):
                block = raw[:, : self.n_samples - position]
                file.write(np.ascontiguousarray(block.T).tobytes())
                whole.push(block)
                for part in _within(speech, position, block):
                    spoken.push(part)
                position += block.shape[1]
                if position >= self.n_samples:
                    break
            for start in range(position, self.n_samples, _BLOCK):
                file.write(bytes(8 * min(_BLOCK, self.n_samples - start)))
        if faults.errors:
            self.warnings.append(f"{faults.errors} damaged packets in the film's own sound")
        self.original = whole.result()
        if sum(end_s - start_s for start_s, end_s in speech) >= _LEAST_SPEECH_S:
            self.spoken = spoken.result()
        self.advance(0.15)

    def balance(self) -> None:
        """Set the gain of the music from the loudness of what it accompanies."""
        if self.music.integrated_lufs is None or not self.has_original:
            return
        if self.spoken.integrated_lufs is not None:
            reference, offset = self.spoken.integrated_lufs, self.settings.bed_lu
        elif self.original.integrated_lufs is not None:
            reference, offset = self.original.integrated_lufs, self.settings.bed_without_speech_lu
        else:
            return
        wanted = max(reference, _QUIET_LUFS) + offset
        self.music_gain_db = wanted - self.music.integrated_lufs

    def finish(self, folder: Path) -> MixResult:
        """Level the sum and write the files."""
        settings = self.settings
        before = Meter(true_peak=False)
        for block in self._sum():
            before.push(block)
        levelled = level(
            self._sum,
            before.result(),
            settings.loudness_lufs,
            settings.true_peak_dbtp - settings.encode_margin_db,
            self.scratch / "gains",
            largest_gain_db=settings.largest_gain_db,
            advance=lambda _: self.advance(0.08),
        )
        self._judge(levelled.loudness)
        mix = self._write(folder / "mix.wav", self._sum, levelled)
        music = self._write(folder / "music.wav", self._music, levelled)
        original = None
        if self.has_original:
            original = self._write(folder / "original.wav", self._original, levelled)
        self.advance(0.2)
        return MixResult(
            mix=mix,
            music=music,
            original=original,
            loudness_lufs=_rounded(levelled.loudness.integrated_lufs),
            loudness_range_lu=round(levelled.loudness.range_lu, 2),
            true_peak_dbtp=_rounded(levelled.loudness.true_peak_dbtp),
            gain_db=round(levelled.gain_db, 3),
            music_gain_db=round(self.music_gain_db, 3),
            clip_gains_db=[
                round(placed.gain_db + self.music_gain_db, 3) for placed in self.lanes.placed
            ],
            limiter_db=round(levelled.deepest_db, 2),
            limited_s=round(levelled.limited_s, 3),
            duck=self.ducking.points(),
            silences=self.silences,
            warnings=self.warnings,
        )

    def _music(self) -> Iterator[Samples64]:
        gain = 10 ** (self.music_gain_db / 20)
        return (gain * block for block in _scratch_blocks(self.scratch / "music"))

    def _original(self) -> Iterator[Samples64]:
        return _scratch_blocks(self.scratch / "original")

    def _sum(self) -> Iterator[Samples64]:
        if not self.has_original:
            return self._music()
        return (a + b for a, b in zip(self._music(), self._original(), strict=True))

    def _write(self, path: Path, source: object, levelled: Levelled) -> Path:
        assert callable(source)
        gain, n_over = 10 ** (levelled.gain_db / 20), 0

        def blocks() -> Iterator[np.ndarray]:
            nonlocal n_over
            for block, limited in zip(source(), self._gains(levelled), strict=True):
                done = (block * (gain * limited)).astype(np.float32)
                n_over += int((np.abs(done) >= 1.0).sum())
                yield done

        write_wav(path, blocks(), RATE_HZ, 24)
        if n_over:
            self.warnings.append(f"{path.name}: {n_over} samples above full scale were clipped")
        return path

    def _gains(self, levelled: Levelled) -> Iterator[np.ndarray]:
        if levelled.gains is None:
            for start in range(0, self.n_samples, _BLOCK):
                yield np.ones(min(_BLOCK, self.n_samples - start))
            return
        with levelled.gains.open("rb") as file:
            while raw := file.read(4 * _BLOCK):
                yield np.frombuffer(raw, np.float32).astype(np.float64)

    def _report_ends(self) -> None:
        for placed in self.lanes.placed:
            missing_s = (placed.n_wanted - placed.n) / RATE_HZ
            if missing_s > 0.001:
                self.warnings.append(
                    f"{os.fsdecode(placed.clip.path)} ends {missing_s:.2f} s before its place in"
                    f" the film does (at {placed.end / RATE_HZ:.2f} s)"
                )

    def _judge(self, loudness: Loudness) -> None:
        found, wanted = loudness.integrated_lufs, self.settings.loudness_lufs
        if found is None:
            self.warnings.append("too short or too quiet to have a loudness: left at its own level")
        elif abs(found - wanted) > 0.1:
            self.warnings.append(f"loudness is {found:.1f} LUFS, {wanted:.1f} could not be reached")


def _within(
    intervals: Sequence[Interval], position: int, block: np.ndarray
) -> Iterator[np.ndarray]:
    """Yield the parts of a block (first sample at `position`) that lie in intervals."""
    for start_s, end_s in sorted(intervals):
        first = max(round(start_s * RATE_HZ) - position, 0)
        last = min(round(end_s * RATE_HZ) - position, block.shape[1])
        if first < last:
            yield block[:, first:last]


def _scratch_blocks(path: Path) -> Iterator[Samples64]:
    with path.open("rb") as file:
        while raw := file.read(8 * _BLOCK):
            yield np.frombuffer(raw, np.float32).reshape(-1, 2).T.astype(np.float64)


@contextlib.contextmanager
def _scratch_folder(folder: Path) -> Iterator[Path]:
    """Give a folder for scratch files beside the result, removed in any case."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".mix-", dir=folder))
    except OSError as error:
        raise MediaError(f"cannot write here ({error.strerror})", where=folder) from None
    try:
        yield scratch
    except OSError as error:
        raise MediaError(
            f"cannot write the mix ({error.strerror})",
            where=folder,
            advice="It needs about 3 GB of free space for each hour of film",
        ) from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _rounded(value: float | None) -> float | None:
    return None if value is None or math.isinf(value) else round(value, 3)
