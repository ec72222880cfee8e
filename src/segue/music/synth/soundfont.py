"""Sound from a SoundFont 2 bank, by tinysoundfont.

The library renders whatever is asked next into a buffer; so the buffer is filled from one event to
the next, and every note begins at its own sample. A part is a channel; there may be more than the
sixteen of a MIDI port.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import DataError, MissingExtra
from segue.music.notes import Piece
from segue.music.synth.bank import Bank, read_bank
from segue.music.synth.schedule import PartSchedule, schedule

__all__ = ["SoundFontRenderer"]

_DRUM_BANK = 128
_VOICES = (256, 4096)
"""Voices at once: the least that is set aside, and the most."""
_VOICES_PER_NOTE = 4
"""Layers and stereo halves of a note in rich banks."""
_TAIL_S = 4.0
"""A note that was let go may need its voices for as long as this."""


class SoundFontRenderer:
    """Plays every part with the bank's preset of its programme."""

    name = "soundfont"
    uses_bank = True

    def __init__(self, soundfont: Path | None = None) -> None:
        try:
            # The package's own Synth has sixteen channels and plays; its binding has neither limit.
            self._library: Any = importlib.import_module("tinysoundfont._tinysoundfont")
        except ImportError as error:
            raise MissingExtra(
                f"the synthesiser tinysoundfont cannot be loaded ({error})",
                advice="Run `pip install --no-deps tinysoundfont` (its dependencies are for "
                "playback only and are not needed)",
            ) from None
        self.bank: Bank = read_bank(soundfont)
        try:
            self._font = self._library.SoundFont(self.bank.data)
        except RuntimeError as error:
            raise DataError(f"not a usable SoundFont: {error}", where=self.bank.path) from None

    def render(self, piece: Piece, rate_hz: int, n_samples: int) -> NDArray[np.float32]:
        """Return the first samples of a piece, [2, n_samples].

        Raises:
            DataError: the bank has no preset for a part.
        """
        parts = schedule(piece, rate_hz)
        font = self._library.SoundFont(self._font)  # shares the samples, has its own voices
        font.set_output(self._library.OutputMode.StereoInterleaved, rate_hz, 0.0)
        font.set_max_voices(_n_voices(parts, rate_hz))
        for channel, part in enumerate(parts):
            self._select(font, channel, part)
        buffer = np.zeros((n_samples, 2), np.float32)
        at = 0
        for sample, channel, pitch, velocity in _events(parts):
            if sample >= n_samples:
                break
            if sample > at:
                font.render(buffer[at:sample])
                at = sample
            if velocity < 0:
                font.channel_note_off(channel, pitch)
            else:
                font.channel_note_on(channel, pitch, velocity / 127.0)
        if at < n_samples:
            font.render(buffer[at:])
        return np.ascontiguousarray(buffer.T)

    def _select(self, font: Any, channel: int, part: PartSchedule) -> None:
        # General MIDI's standard drum kit is programme 0 of its bank; others are rare.
        wanted = (_DRUM_BANK, part.program) if part.is_drum else (0, part.program)
        if part.is_drum and wanted not in self.bank.presets:
            wanted = (_DRUM_BANK, 0)
        if wanted not in self.bank.presets:
            what = "drums" if part.is_drum else f"programme {part.program}"
            raise DataError(
                f"the bank has no {what}", where=self.bank.path,
                advice="Give a General MIDI bank, or another instrument",
            )  # fmt: skip
        font.channel_set_bank(channel, 0)  # the flag below means the bank of drums
        font.channel_set_preset_number(channel, wanted[1], part.is_drum)
        font.channel_set_pan(channel, 0.5 + 0.5 * part.pan)


def _events(parts: list[PartSchedule]) -> list[tuple[int, int, int, int]]:
    """Return (sample, channel, pitch, velocity), ordered; velocity -1 lets a note go.

    At one sample, notes end before others begin, so that a repeated pitch sounds again.
    """
    sounding = [np.flatnonzero(part.velocities > 0) for part in parts]
    columns = []
    for channel, (part, used) in enumerate(zip(parts, sounding, strict=True)):
        channels = np.full(len(used), channel, np.int64)
        columns.append((part.starts[used], channels, part.pitches[used], part.velocities[used]))
        columns.append((part.ends[used], channels, part.pitches[used], np.full(len(used), -1)))
    if not columns:
        return []
    sample, channel_of, pitch, velocity = (np.concatenate(c) for c in zip(*columns, strict=True))
    order = np.lexsort((pitch, channel_of, velocity >= 0, sample))
    rows = np.stack([sample, channel_of, pitch, velocity])[:, order]
    return list(zip(*rows.tolist(), strict=True))


def _n_voices(parts: list[PartSchedule], rate_hz: int) -> int:
    """Return enough voices that none is cut off, within reason."""
    starts = np.concatenate([part.starts for part in parts] or [np.zeros(0, np.int64)])
    ends = np.concatenate([part.ends for part in parts] or [np.zeros(0, np.int64)])
    begun = np.arange(1, len(starts) + 1)
    gone = np.searchsorted(np.sort(ends) + int(_TAIL_S * rate_hz), np.sort(starts), side="right")
    most = int((begun - gone).max(initial=0)) * _VOICES_PER_NOTE
    return min(max(most, _VOICES[0]), _VOICES[1])
