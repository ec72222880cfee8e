"""Analysis of music whose tempo, key and loudness are known because it was made by rule."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from segue.core.errors import DataError, MediaError
from segue.media import music_features, rhythm, spectrum
from segue.media.affect_features import AFFECT, TIMBRE, Stretch
from segue.media.audio import write_wav
from segue.media.key import PITCH_CLASSES, find_key, pitch_profile
from segue.media.source import probe
from segue.media.spectrum import HOP_S, RATE_HZ
from segue.media.track import N_PEAKS, TrackAnalysis, analyse_track
from tests.synthetic_audio import cadence, clicks, noise, note, tone, write_audio


def measured(samples: np.ndarray) -> music_features.Frames:
    return music_features.measure([samples])


def track_of(folder: Path, samples: np.ndarray, name: str = "a.wav") -> TrackAnalysis:
    write_wav(folder / name, samples, RATE_HZ, 16)
    return analyse_track(folder / name)


# --- features against librosa, the reference of their definitions ---------------------------------


@pytest.fixture(scope="module")
def mixture() -> np.ndarray:
    """Chords, clicks and hiss: something for every feature."""
    chords = cadence(57, minor=True, bars=2, chord_s=0.8)
    return (
        chords
        + clicks(150, len(chords) / RATE_HZ + 1)[: len(chords)]
        + noise(len(chords) / RATE_HZ, 0, level=0.003)[: len(chords)]
    )


def test_features_equal_librosas(mixture: np.ndarray) -> None:
    import librosa

    frames, y = measured(mixture), mixture
    magnitude = np.abs(librosa.stft(y))
    mel = librosa.feature.melspectrogram(S=magnitude**2)
    pairs = {
        "rms": (frames.rms, librosa.feature.rms(y=y)[0]),
        "crossings": (frames.crossings, librosa.feature.zero_crossing_rate(y)[0]),
        "centroid": (frames.centroid_hz, librosa.feature.spectral_centroid(S=magnitude)[0]),
        "bandwidth": (frames.bandwidth_hz, librosa.feature.spectral_bandwidth(S=magnitude)[0]),
        "rolloff": (frames.rolloff_hz, librosa.feature.spectral_rolloff(S=magnitude)[0]),
        "mel": (frames.mel, mel.T),
        "mfcc": (Stretch(frames).mfcc, librosa.feature.mfcc(y=y, n_mfcc=20).T),
        "onset": (Stretch(frames).onset, librosa.onset.onset_strength(y=y)),
    }
    for name, (ours, theirs) in pairs.items():
        tolerance = 2e-4 * np.abs(theirs).max()
        if name == "crossings":  # librosa repeats the last sample where we see zeros: one crossing
            tolerance = 1 / 2048
        np.testing.assert_allclose(ours, theirs, atol=tolerance, rtol=0, err_msg=name)
    assert frames.tuning == pytest.approx(librosa.estimate_tuning(S=magnitude**2), abs=0.011)
    chroma = librosa.feature.chroma_stft(S=magnitude**2, tuning=round(frames.tuning, 1))
    ours = frames.chroma / frames.chroma.max(axis=1, keepdims=True)
    np.testing.assert_allclose(ours, chroma.T, atol=1e-3)
    np.testing.assert_allclose(
        spectrum.chroma_bank(0.1).T, librosa.filters.chroma(sr=RATE_HZ, n_fft=2048, tuning=0.1)
    )
    harmonic, percussive = librosa.decompose.hpss(np.sqrt(mel), kernel_size=17, mask=True)
    energy, whole = music_features.percussive_energy(frames.mel)
    np.testing.assert_allclose(
        energy, (percussive * mel).sum(axis=0), atol=1e-4 * whole.max(), rtol=0
    )
    assert harmonic.shape == percussive.shape
    peaks = librosa.util.peak_pick(
        Stretch(frames).onset / Stretch(frames).onset.max(),
        pre_max=3, post_max=3, pre_avg=8, post_avg=8, delta=0.05, wait=3,
    )  # fmt: skip
    np.testing.assert_array_equal(Stretch(frames).onset_frames, peaks)


def test_features_do_not_depend_on_how_the_stream_is_cut(mixture: np.ndarray) -> None:
    whole = measured(mixture)
    cuts = [1, 511, 512, 1000, 70000]
    parts = music_features.measure(np.split(mixture, cuts))
    for name in ("rms", "centroid_hz", "mel", "chroma", "flux", "peaks"):
        np.testing.assert_allclose(
            getattr(parts, name), getattr(whole, name), rtol=1e-5, atol=1e-7, err_msg=name
        )
    assert parts.n_samples == len(mixture)
    assert len(whole.rms) == 1 + len(mixture) // 512


# --- rhythm ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("bpm", [72, 96, 120, 137.5, 160])
def test_clicks_give_their_tempo_and_beats(bpm: float) -> None:
    offset_s = 0.31
    stretch = Stretch(measured(clicks(bpm, 30, offset_s=offset_s)))
    chroma = stretch.frames.chroma
    found = rhythm.find_rhythm(stretch.onset, stretch.onset, chroma)
    assert found.tempo_bpm == pytest.approx(bpm, rel=0.005)
    true_s = np.arange(offset_s, 30, 60 / bpm)
    error_s = found.beats_s - true_s[np.abs(true_s[:, None] - found.beats_s).argmin(axis=0)]
    assert np.abs(error_s).max() < 0.015
    assert abs(np.median(error_s)) < 0.01
    assert len(found.beats_s) >= len(true_s) - 3


@pytest.mark.parametrize("per_bar", [3, 4])
def test_accents_give_the_bar(per_bar: int) -> None:
    samples = clicks(110, 30, accent_every=per_bar)
    frames = measured(samples)
    low = music_features.onset_strength(frames.mel[:, :8])
    found = rhythm.find_rhythm(Stretch(frames).onset, low, frames.chroma)
    assert found.beats_per_bar == per_bar
    bar_s = per_bar * 60 / 110
    phase = (found.downbeats_s / bar_s + 0.5) % 1 - 0.5
    assert np.abs(phase).max() * bar_s < 0.05


def test_change_of_harmony_gives_the_bar() -> None:
    beat = [np.stack([note(p, 0.5) for p in chord]).sum(axis=0)
            for chord in ((60, 64, 67), (65, 69, 72), (67, 71, 74), (60, 64, 67))
            for _ in range(4)]  # fmt: skip
    frames = measured(np.concatenate(beat * 3))
    flat = np.zeros(len(frames.rms), np.float32)
    per_bar, first = rhythm.bars(
        np.arange(48) * 0.5 / HOP_S + 1.2, Stretch(frames).onset, flat, frames.chroma
    )
    assert (per_bar, first) == (4, 0)


def test_no_onset_no_beat() -> None:
    silent = np.zeros(800, np.float32)
    assert rhythm.tempo(silent) == 0
    found = rhythm.find_rhythm(silent, silent, np.zeros((800, 12), np.float32))
    assert (found.tempo_bpm, len(found.beats_s), found.beats_per_bar) == (0, 0, 0)
    assert not len(rhythm.onset_peaks(silent))


# --- key ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("minor", [False, True], ids=["major", "minor"])
@pytest.mark.parametrize("tonic", [57, 60, 66])
def test_cadences_give_their_key(tonic: int, minor: bool) -> None:
    frames = measured(cadence(tonic, minor))
    key = find_key(pitch_profile(frames.chroma, frames.rms))
    assert key.name == f"{PITCH_CLASSES[tonic % 12]} {'minor' if minor else 'major'}"
    assert (key.mode < 0) == minor


def test_mode_survives_a_detuned_piece() -> None:
    for minor in (False, True):
        detuned = np.concatenate([cadence(60 + 0.4, minor)])
        frames = measured(detuned)
        assert frames.tuning == pytest.approx(0.4, abs=0.05)
        assert find_key(pitch_profile(frames.chroma, frames.rms)).is_minor == minor


def test_a_flat_profile_has_no_mode() -> None:
    assert find_key(np.ones(12)).mode == 0
    assert find_key(np.zeros(12)).mode == 0


# --- whole tracks ---------------------------------------------------------------------------------


def test_a_track_tells_what_was_put_in(tmp_path: Path) -> None:
    silence = np.zeros(RATE_HZ, np.float32)
    samples = np.concatenate([silence, cadence(60, minor=False, bars=6), silence[: RATE_HZ // 2]])
    track = track_of(tmp_path, samples)
    assert track.duration_s == pytest.approx(25.5)
    assert (track.source_rate_hz, track.source_channels) == (RATE_HZ, 1)
    assert track.key == "C major"
    assert track.mode > 0
    assert track.active_start_s == pytest.approx(1.0, abs=0.02)
    assert 24 < track.active_end_s <= 25.05
    assert track.peaks.shape == (N_PEAKS,)
    assert track.peaks.max() == pytest.approx(np.abs(samples).max(), abs=1e-3)
    assert not track.peaks[:20].any()
    assert len(track.level_db) == len(track.onset_strength) == 1 + len(samples) // 512
    assert track.axes.shape == (5,)
    assert np.abs(track.axes).max() <= 2.5
    np.testing.assert_allclose(track.window_starts_s, [0, 5, 10, 15.5])
    assert track.window_axes.shape == (4, 5)
    assert track.affect.shape == (len(AFFECT),)
    assert track.timbre.shape == (len(TIMBRE),)
    assert track.warnings == ()


def test_arousal_and_pace_rise_with_energy(tmp_path: Path) -> None:
    calm = 0.1 * np.concatenate([note(p, 2.0) for p in (60, 64, 67, 64) * 3])
    busy = clicks(170, 24) + noise(24, 1, level=0.05) + cadence(60, False, bars=6)
    calm_track = track_of(tmp_path, calm, "calm.wav")
    busy_track = track_of(tmp_path, busy, "busy.wav")
    arousal, _, _, pace, brightness = busy_track.axes - calm_track.axes
    assert arousal > 1
    assert pace > 0.5
    assert brightness > 0.5


def test_valence_falls_and_tension_rises_in_minor(tmp_path: Path) -> None:
    major = track_of(tmp_path, cadence(60, minor=False), "major.wav").axes
    minor = track_of(tmp_path, cadence(60, minor=True), "minor.wav").axes
    assert major[1] - minor[1] > 0.5
    assert minor[2] - major[2] > 0.3


@pytest.mark.parametrize(
    "samples",
    [
        tone(440, 0.05),
        tone(440, 1.0),
        noise(3, 0),
        np.full(RATE_HZ, 0.2, np.float32),
        np.concatenate([np.zeros(5 * RATE_HZ, np.float32), tone(440, 0.2)]),
    ],
    ids=["blip", "tone", "noise", "constant", "late blip"],
)
def test_odd_sounds_give_finite_numbers(tmp_path: Path, samples: np.ndarray) -> None:
    track = track_of(tmp_path, samples)
    for name, values in track.to_arrays().items():
        assert name == "plain" or np.isfinite(values).all(), name
    assert np.isfinite([track.mode, track.tempo_bpm, track.rms, track.centroid_hz]).all()
    assert 0 <= track.active_start_s < track.active_end_s <= track.duration_s + 1e-9


def test_silence_is_refused(tmp_path: Path) -> None:
    write_wav(tmp_path / "silent.wav", np.zeros(RATE_HZ, np.float32), RATE_HZ)
    with pytest.raises(MediaError, match="silent"):
        analyse_track(tmp_path / "silent.wav")


def test_a_file_that_breaks_off_is_used_with_a_warning(tmp_path: Path) -> None:
    whole = write_audio(tmp_path / "a.flac", cadence(60, False, 2), RATE_HZ, "flac").read_bytes()
    (tmp_path / "half.flac").write_bytes(whole[: len(whole) // 2])
    assert analyse_track(tmp_path / "a.flac").warnings == ()
    half = analyse_track(tmp_path / "half.flac")
    assert half.duration_s < 5
    assert any("its header says 8.0 s" in text for text in half.warnings)


@pytest.mark.parametrize(("name", "codec"), [("a.ogg", "libopus"), ("a.mp3", "libmp3lame")])
def test_tags_are_found_wherever_a_container_keeps_them(
    tmp_path: Path, name: str, codec: str
) -> None:
    tags = {"artist": "Someone", "genre": "Jazz"}
    path = write_audio(tmp_path / name, tone(440, 1, 48_000), 48_000, codec, tags=tags)
    assert probe(path).tags.items() >= tags.items()


def test_tags_come_in_lower_case(tmp_path: Path) -> None:
    tags = {"TITLE": "Élan 'n' \"vital\"", "artist": "Someone", "license": "CC0-1.0"}
    path = write_audio(tmp_path / "a.flac", cadence(60, False, 1), RATE_HZ, "flac", tags=tags)
    track = analyse_track(path)
    assert track.tags["title"] == track.title == tags["TITLE"]
    assert track.tags["artist"] == "Someone"
    assert track.tags["license"] == "CC0-1.0"
    untitled = track_of(tmp_path, cadence(60, False, 1), "my song.wav")
    assert untitled.title == "my song"


def test_a_quieter_copy_differs_only_a_little(tmp_path: Path) -> None:
    samples = cadence(62, minor=True, bars=4) + clicks(120, 16) * 0.3
    loud, soft = (track_of(tmp_path, g * samples, f"{g}.wav") for g in (0.8, 0.4))
    difference = np.abs(loud.axes - soft.axes)
    assert difference[0] < 0.6  # the level is part of the energy that people hear
    assert difference[[1, 3, 4]].max() < 0.15
    np.testing.assert_allclose(loud.beats_s, soft.beats_s, atol=0.03)


def test_arrays_bring_the_analysis_back(tmp_path: Path) -> None:
    track = track_of(tmp_path, cadence(60, False, 3))
    arrays = track.to_arrays()
    again = TrackAnalysis.from_arrays(arrays, Path("elsewhere.wav"))
    assert again.path == Path("elsewhere.wav")
    for name, values in again.to_arrays().items():
        np.testing.assert_array_equal(values, arrays[name], err_msg=name)
    for broken in (
        {k: v for k, v in arrays.items() if k != "mfcc"},
        arrays | {"axes": np.zeros(4)},
        arrays | {"axes": np.full(5, np.nan)},
        arrays | {"plain": np.frombuffer(b"{}", np.uint8)},
        arrays | {"plain": np.frombuffer(b"\xff", np.uint8)},
        arrays | {"peaks": np.array(["x"] * N_PEAKS)},
    ):
        with pytest.raises(DataError):
            TrackAnalysis.from_arrays(broken, Path("a"))


def test_the_tense_variant_of_a_real_theme_has_more_arousal(shared_data: Path) -> None:
    music = shared_data / "music"
    for zone in ("caves", "sewers"):
        calm, tense = (analyse_track(music / f"spd_{zone}_{kind}.ogg") for kind in ("1", "tense"))
        assert tense.axes[0] > calm.axes[0] + 0.3
        assert tense.axes[2] > calm.axes[2]
