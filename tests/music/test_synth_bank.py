"""Only a sound SoundFont reaches a synthesiser; FluidSynth is called as it should be."""

from __future__ import annotations

import importlib.util
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from segue.core.errors import DataError, MediaError, MissingExtra
from segue.music.notes import Note, Part, Piece
from segue.music.synth import fluidsynth, render
from segue.music.synth.bank import check_bank, default_bank, read_bank

WHERE = Path("own.sf2")
N_SAMPLES = 480
PIECE = Piece((Part((Note(0, 69, 480), Note(480, 69, 960))),))


def chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def small_bank(**changed: bytes) -> bytes:
    """A bank of one preset, one instrument and one looped sample: a sine of 440 Hz."""
    t = np.arange(N_SAMPLES)
    wave = (20000 * np.sin(2 * np.pi * 440 * t / 44000)).astype("<i2").tobytes() + bytes(92)
    tables = {
        "phdr": struct.pack("<20sHHH12x20sHHH12x", b"Sine", 0, 0, 0, b"", 0, 0, 1),
        "pbag": struct.pack("<4H", 0, 0, 1, 0),
        "pmod": bytes(10),
        "pgen": struct.pack("<4H", 41, 0, 0, 0),
        "inst": struct.pack("<20sH20sH", b"Sine", 0, b"", 1),
        "ibag": struct.pack("<4H", 0, 0, 2, 0),
        "imod": bytes(10),
        "igen": struct.pack("<6H", 54, 1, 53, 0, 0, 0),
        "shdr": struct.pack("<20s5IBbHH", b"Sine", 0, N_SAMPLES, 100, 400, 44000, 69, 0, 0, 1)
        + bytes(46),
    } | changed  # fmt: skip
    pdta = b"pdta" + b"".join(chunk(name.encode(), body) for name, body in tables.items())
    body = (
        chunk(b"LIST", b"INFO" + chunk(b"ifil", struct.pack("<HH", 2, 1)))
        + chunk(b"LIST", b"sdta" + chunk(b"smpl", wave))
        + chunk(b"LIST", pdta)
    )
    return chunk(b"RIFF", b"sfbk" + body)


def test_the_installed_bank_has_all_of_general_midi() -> None:
    bank = read_bank()
    assert {(0, program) for program in range(128)} <= bank.presets
    assert (128, 0) in bank.presets


def test_the_bank_is_found_without_importing_its_package() -> None:
    code = (
        "import sys; from segue.music.synth.bank import default_bank; print(default_bank().name, "
    )
    code += "'pretty_midi' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["TimGM6mb.sf2", "False"]


def test_no_bank(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match="no SoundFont bank is installed"):
        default_bank()


def test_a_bank_of_the_users_own_is_played(tmp_path: Path) -> None:
    path = tmp_path / "own.sf2"
    path.write_bytes(small_bank())
    assert read_bank(path).presets == {(0, 0)}
    sound = render(PIECE, soundfont=path, duration_s=1.0)
    assert sound.renderer == "soundfont"
    spectrum = np.abs(np.fft.rfft(sound.samples[0, :24000] * np.hanning(24000)))
    assert abs(int(np.argmax(spectrum)) * 2 - 440) <= 2
    with pytest.raises(DataError, match="the bank has no programme 5"):
        render(Piece((Part(PIECE.parts[0].notes, 5),)), soundfont=path)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "an empty file"),
        (b"RIFF", "does not begin with RIFF and sfbk"),
        (b"MThd" + bytes(40), "does not begin with RIFF and sfbk"),
        (b"RIFF\x24\0\0\0WAVEfmt " + bytes(40), "does not begin with RIFF and sfbk"),
        (small_bank()[:-1], "cut off: "),
        (b"RIFF\x04\0\0\0sfbk", "its samples or tables are missing"),
        (small_bank().replace(b"shdr\x5c", b"shdr\xff"), "a chunk is longer than the file"),
        (small_bank(shdr=b""), "its table shdr is incomplete"),
        (small_bank(pgen=bytes(7)), "its table pgen is incomplete"),
        (small_bank(phdr=bytes(38)), "without presets"),
        (small_bank(pbag=struct.pack("<4H", 0, 0, 9, 0)), "pbag leads nowhere"),
        (small_bank(ibag=struct.pack("<4H", 2, 0, 0, 0)), "ibag leads nowhere"),
        (small_bank(imod=bytes(10), ibag=struct.pack("<4H", 0, 0, 2, 7)), "ibag leads nowhere"),
        (small_bank(pgen=struct.pack("<4H", 41, 1, 0, 0)), "pgen names no inst"),
        (small_bank(igen=struct.pack("<6H", 54, 1, 53, 1, 0, 0)), "igen names no shdr"),
        (
            small_bank(shdr=struct.pack("<20s5I6x", b"", 0, 9999, 0, 0, 44000) + bytes(46)),
            "a sample outside the data",
        ),
        (
            small_bank(shdr=struct.pack("<20s5I6x", b"", 0, 480, 0, 2**32 - 1, 44000) + bytes(46)),
            "a sample outside the data",
        ),
        (
            small_bank(
                igen=struct.pack("<8H", 54, 0, 4, 0x8000, 53, 0, 0, 0),
                ibag=struct.pack("<4H", 0, 0, 3, 0),
            ),
            "a sample outside the data",
        ),
        (
            small_bank(shdr=struct.pack("<20s5I4xH", b"", 0, 9, 0, 9, 44000, 0x11) + bytes(46)),
            "a compressed bank",
        ),
    ],
)
def test_what_is_no_bank_is_refused_with_the_reason(
    tmp_path: Path, data: bytes, words: str
) -> None:
    path = tmp_path / "own.sf2"
    path.write_bytes(data)
    with pytest.raises(DataError, match=words) as caught:
        render(PIECE, soundfont=path)
    assert str(path) in str(caught.value)


def test_offsets_of_a_whole_instrument_count_in_zones_that_lack_them() -> None:
    """A first zone without a sample stands for the instrument; a zone's own value replaces it."""
    zones = struct.pack("<6H", 0, 0, 1, 0, 3, 0)
    for own, whole, good in ((0, 5, True), (5, 9999, True), (9999, 5, False), (None, 9999, False)):
        mine = (1, own) if own is not None else (54, 0)
        igen = struct.pack("<8H", 1, whole, *mine, 53, 0, 0, 0)
        data = small_bank(
            igen=igen, ibag=zones, inst=struct.pack("<20sH20sH", b"Sine", 0, b"", 2)
        )  # fmt: skip
        if good:
            assert check_bank(data, WHERE) == {(0, 0)}
        else:
            with pytest.raises(DataError, match="outside the data"):
                check_bank(data, WHERE)


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "none.sf2", tmp_path):
        with pytest.raises(DataError, match="cannot be read"):
            render(PIECE, soundfont=path)


def test_400_damaged_banks_end_in_an_error_or_in_sound(tmp_path: Path) -> None:
    """In a process of its own, since what a damaged bank would do to a synthesiser is crash it."""
    (tmp_path / "good.sf2").write_bytes(small_bank())
    code = """
import sys, numpy as np
from pathlib import Path
from segue.core.errors import DataError
from segue.music.notes import Note, Part, Piece
from segue.music.synth import render
good = Path("good.sf2").read_bytes()
piece = Piece((Part((Note(0, 69, 48), Note(0, 20, 48)),),))
counts = [0, 0]
for seed in range(400):
    rng = np.random.default_rng(seed)
    data = bytearray(good)
    for place in rng.integers(12, len(data), rng.integers(1, 6)):
        data[max(int(place), len(data) - 600) if seed % 2 else place] = rng.integers(256)
    path = Path("bad.sf2")
    path.write_bytes(data)
    try:
        sound = render(piece, renderer="soundfont", soundfont=path, duration_s=0.1)
        assert np.isfinite(sound.samples).all()
        counts[0] += 1
    except DataError:
        counts[1] += 1
print(*counts)
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    played, refused = map(int, done.stdout.split())
    assert played + refused == 400
    assert min(played, refused) > 40


# --- FluidSynth -----------------------------------------------------------------------------------

STAND_IN = """#!{python}
import struct, sys
arguments = sys.argv[1:]
open({log!r}, "w").write("\\n".join(arguments))
bank, notes = arguments[-2:]
assert open(notes, "rb").read(4) == b"MThd" and open(bank, "rb").read(4) == b"RIFF"
assert sys.stdin.read() == ""
{body}
"""
WRITE = """
raw = arguments[arguments.index("-F") + 1]
open(raw, "wb").write(struct.pack("<hh", 16384, -32768) * 30000)
"""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in on the PATH; the test writes what it does."""
    path = tmp_path / "bin" / "fluidsynth"
    path.parent.mkdir()
    monkeypatch.setenv("PATH", str(path.parent))
    return path


def stand_in(path: Path, body: str) -> Path:
    log = path.parent / "arguments"
    path.write_text(STAND_IN.format(python=sys.executable, log=str(log), body=body))
    path.chmod(0o755)
    return log


def test_fluidsynth_is_asked_for_raw_samples_without_effects(program: Path) -> None:
    log = stand_in(program, WRITE)
    sound = render(PIECE, renderer="fluidsynth", rate_hz=44_100, duration_s=1.0)
    assert sound.renderer == "fluidsynth"
    assert sound.samples.shape == (2, 44_100)
    np.testing.assert_array_equal(sound.samples[:, 0], [0.5, -1.0])
    assert not sound.samples[:, 30000:].any()
    arguments = log.read_text().splitlines()
    assert [arguments[arguments.index(a) + 1] for a in ("-r", "-R", "-C", "-T", "-O", "-z")] == [
        "44100", "0", "0", "raw", "s16", "64",
    ]  # fmt: skip
    assert {"-n", "-i"} <= set(arguments)
    assert arguments[-2] == str(default_bank().resolve())
    assert not Path(arguments[-1]).exists()  # nothing is left behind


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("sys.stderr.write('one\\nno such thing\\n'); sys.exit(3)", r"code 3 \(no such thing\)"),
        ("pass", r"code 0 \(silent\)"),
        ("import time; time.sleep(60)", "gave no result in 0 s"),
    ],
)
def test_fluidsynth_fails(
    program: Path, monkeypatch: pytest.MonkeyPatch, body: str, words: str
) -> None:
    stand_in(program, body)
    if "sleep" in body:
        monkeypatch.setattr(fluidsynth, "_TIMEOUT", (0.4, 0.0))
    with pytest.raises(MediaError, match=words) as caught:
        render(PIECE, renderer="fluidsynth")
    assert "Choose another renderer" in str(caught.value)


def test_fluidsynth_that_cannot_start(program: Path) -> None:
    program.write_bytes(b"\x7fELF nothing")
    program.chmod(0o755)
    with pytest.raises(MediaError, match="cannot be started"):
        render(PIECE, renderer="fluidsynth")
