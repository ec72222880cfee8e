"""Sound by the FluidSynth program, where the machine has it.

It reads a MIDI file and the bank, and writes raw samples, which are read back. It starts notes at
the next multiple of its buffer, at most 64 samples late, and places parts as its bank says.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import MediaError, MissingExtra
from segue.music.midi import write_midi
from segue.music.notes import Piece
from segue.music.synth.bank import Bank, read_bank
from segue.music.synth.schedule import schedule

__all__ = ["BUFFER", "FluidSynthRenderer"]

BUFFER = 64
"""Samples between two looks at the clock: the smallest that the program takes."""
_GAIN = 0.5
_TIMEOUT = (60.0, 2.0)
"""Seconds for any piece, and for each second of it: a slow machine plays faster than that."""


class FluidSynthRenderer:
    """Plays a piece with the program `fluidsynth`."""

    name = "fluidsynth"
    uses_bank = True

    def __init__(self, soundfont: Path | None = None) -> None:
        program = shutil.which("fluidsynth")
        if program is None:
            raise MissingExtra(
                "the program fluidsynth is not on this machine's PATH",
                advice="Install it from your system's packages, or choose another renderer",
            )
        self._program = program
        self.bank: Bank = read_bank(soundfont)

    def render(self, piece: Piece, rate_hz: int, n_samples: int) -> NDArray[np.float32]:
        """Return the first samples of a piece, [2, n_samples].

        Raises:
            DataError: the piece holds a pitch or velocity that no music has.
            MediaError: the program failed, or took far too long.
        """
        schedule(piece, rate_hz)  # refuse here what the others refuse
        limit_s = _TIMEOUT[0] + _TIMEOUT[1] * n_samples / rate_hz
        with tempfile.TemporaryDirectory(prefix="segue-") as folder:
            notes, raw = Path(folder) / "piece.mid", Path(folder) / "piece.raw"
            write_midi(piece, notes)
            command = [
                self._program, "-n", "-i", "-q", "-R", "0", "-C", "0", "-z", str(BUFFER),
                "-g", str(_GAIN), "-r", str(rate_hz), "-T", "raw", "-O", "s16", "-F", str(raw),
                str(self.bank.path.resolve()), str(notes),
            ]  # fmt: skip
            try:
                done = subprocess.run(  # noqa: S603  no shell, and no argument of the user's own
                    command, capture_output=True, timeout=limit_s, stdin=subprocess.DEVNULL,
                    check=False,
                )  # fmt: skip
            except subprocess.TimeoutExpired:
                raise _failed(f"gave no result in {limit_s:.0f} s") from None
            except OSError as error:
                raise _failed(f"cannot be started: {error.strerror or error}") from None
            said = done.stderr.decode("utf-8", "replace").strip().splitlines()
            if done.returncode or not raw.is_file():
                raise _failed(
                    f"ended with code {done.returncode} ({said[-1] if said else 'silent'})"
                )
            with raw.open("rb") as file:
                data = file.read(4 * n_samples)
        return _samples(data, n_samples)


def _samples(data: bytes, n_samples: int) -> NDArray[np.float32]:
    """Turn raw pairs of 16 bits, in the byte order of this machine, into [2, n_samples]."""
    order = "<i2" if sys.byteorder == "little" else ">i2"
    pairs = np.frombuffer(data[: len(data) // 4 * 4], order).reshape(-1, 2)
    out = np.zeros((2, n_samples), np.float32)
    out[:, : len(pairs)] = pairs.T / np.float32(32768)
    return out


def _failed(what: str) -> MediaError:
    return MediaError(f"fluidsynth {what}", advice="Choose another renderer: soundfont or additive")
