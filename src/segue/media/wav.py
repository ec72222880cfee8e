"""Sound to disk as WAV, of any length.

The size fields of a WAV file have 32 bits: at 48 kHz, 24 bits and two channels they end after four
hours, and readers that go by them see a short or an empty file. Longer files become RF64 (EBU Tech
3306), which FFmpeg, editors and digital audio workstations read: same layout, but the sizes stand
in a chunk of their own. Since the length of a stream is known only at its end, each file begins
with a JUNK chunk that becomes that chunk when needed; readers of plain WAV pass over it.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import MediaError
from segue.core.files import atomic_path

__all__ = ["write_wav"]

Samples = NDArray[np.float32]

_LARGEST_RIFF = 2**32 - 1
"""Bytes that a 32-bit size can tell."""
_UNKNOWN = 2**32 - 1
"""In a 32-bit field of RF64: see the ds64 chunk."""
_STEP = 1 << 16
"""Samples per channel that are converted together."""


def write_wav(
    path: Path, samples: Samples | Iterable[Samples], rate_hz: int, bits: int = 24
) -> None:
    """Write a WAV file (RF64 above 4 GiB), whole or not at all.

    Args:
        path: where to.
        samples: [C, n] or [n] in +/-1, or an iterable of such blocks (constant memory). Values
            outside are clipped at full scale in 16 and 24 bits.
        rate_hz: sample rate.
        bits: 16 or 24 (PCM), or 32 (float).

    Raises:
        MediaError: no sample, a value that is not a number, another number of channels in a later
            block, or the file cannot be written.
    """
    if bits not in {16, 24, 32}:
        raise MediaError(
            f"{bits}-bit WAV", where=os.fsdecode(path), advice="Give 16, 24 or 32 (float)"
        )
    blocks = iter([samples] if isinstance(samples, np.ndarray) else samples)
    first = next(blocks, None)
    if first is None or first.size == 0:
        raise MediaError("no samples to write", where=os.fsdecode(path))
    channels = 1 if first.ndim == 1 else first.shape[0]
    try:
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            file.write(_header(0, rate_hz, channels, bits))
            n_bytes = _append(file, first, channels, bits, path)
            for later in blocks:
                n_bytes += _append(file, later, channels, bits, path)
            file.write(b"\0" * (n_bytes % 2))  # chunks begin at even places
            file.seek(0)
            file.write(_header(n_bytes, rate_hz, channels, bits))
    except OSError as error:
        reason = error.strerror or str(error)
        raise MediaError(f"cannot write this WAV file: {reason}", where=os.fsdecode(path)) from None


def _append(file: Any, block: Samples, channels: int, bits: int, path: Path) -> int:
    """Write one block; returns its bytes."""
    block = np.atleast_2d(block)
    if block.shape[0] != channels:
        raise MediaError(f"{block.shape[0]} channels after {channels}", where=os.fsdecode(path))
    n_bytes = 0
    for start in range(0, block.shape[1], _STEP):
        part = np.ascontiguousarray(block[:, start : start + _STEP].T, np.float32)
        if not np.isfinite(part).all():
            raise MediaError(
                "samples that are not finite numbers (NaN or infinity)", where=os.fsdecode(path)
            )
        data = _encoded(part, bits)
        file.write(data)
        n_bytes += len(data)
    return n_bytes


def _encoded(samples: Samples, bits: int) -> bytes:
    if bits == 32:
        return bytes(samples.astype("<f4").tobytes())
    scale = float(2 ** (bits - 1))
    # The largest integer of 24 bits is a float32 exactly, so the limits hold after rounding too.
    levels = np.rint(np.clip(samples * np.float32(scale), -scale, scale - 1))
    if bits == 16:
        return bytes(levels.astype("<i2").tobytes())
    return bytes(levels.astype("<i4")[..., None].view(np.uint8)[..., :3].tobytes())


def _header(n_bytes: int, rate_hz: int, channels: int, bits: int) -> bytes:
    """Return what stands before `n_bytes` of samples; its length is always the same."""
    frame_bytes = channels * bits // 8
    is_float = bits == 32
    form = struct.pack(
        "<4sIHHIIHH", b"fmt ", 16, 3 if is_float else 1, channels, rate_hz,
        rate_hz * frame_bytes, frame_bytes, bits,
    )  # fmt: skip
    n_frames = n_bytes // frame_bytes
    if is_float:
        form += struct.pack("<4sII", b"fact", 4, min(n_frames, _UNKNOWN))
    # everything after the first eight bytes: WAVE, ds64 or JUNK, fmt, fact, data
    riff_bytes = 4 + 36 + len(form) + 8 + n_bytes + n_bytes % 2
    if riff_bytes <= _LARGEST_RIFF:
        start = struct.pack("<4sI4s4sI28x", b"RIFF", riff_bytes, b"WAVE", b"JUNK", 28)
        return start + form + struct.pack("<4sI", b"data", n_bytes)
    start = struct.pack(
        "<4sI4s4sIQQQI", b"RF64", _UNKNOWN, b"WAVE", b"ds64", 28, riff_bytes, n_bytes, n_frames, 0
    )
    return start + form + struct.pack("<4sI", b"data", _UNKNOWN)
