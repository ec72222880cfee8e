"""The mix: exact in length and place, free of clicks, ducked and levelled as asked."""

from __future__ import annotations

import hashlib
import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pyloudnorm
import pytest
import soundfile

from segue.core.errors import ConfigError, MediaError
from segue.media.lanes import Lanes
from segue.media.loudness import measure
from segue.media.mix import RATE_HZ, MixClip, MixResult, MixSettings, render_mix
from tests.synthetic_audio import chords, noise, tone, write_audio
from tests.synthetic_video import write_video

PLAIN = MixSettings(level_match=0.0)


def track(
    folder: Path, name: str, duration_s: float, hz: float = 220.0, level: float = 0.3
) -> Path:
    """A steady tone with two harmonics, so that any gain can be read off it."""
    sound = sum(tone(hz * h, duration_s, RATE_HZ, level / h) for h in (1, 2, 3))
    return write_audio(folder / f"{name}.wav", np.stack([sound, sound]), RATE_HZ, "pcm_f32le")


def samples(path: Path) -> np.ndarray:
    data, rate_hz = soundfile.read(path, always_2d=True)
    assert rate_hz == RATE_HZ
    assert soundfile.info(path).subtype == "PCM_24"
    assert soundfile.info(path).channels == 2
    return np.asarray(data.T)


def level_db(sound: np.ndarray, at_s: float, width_s: float = 0.05) -> float:
    part = sound[:, round((at_s - width_s / 2) * RATE_HZ) : round((at_s + width_s / 2) * RATE_HZ)]
    return 10 * math.log10(float(np.mean(part**2)) + 1e-20)


def render(
    clips: list[MixClip],
    seconds: float | Fraction,
    folder: Path,
    original: Path | None = None,
    speech: list[tuple[float, float]] | None = None,
    settings: MixSettings = PLAIN,
) -> MixResult:
    return render_mix(clips, round(seconds * RATE_HZ), original, speech or [], settings, folder)


def test_the_files_have_exactly_the_length_of_the_film(tmp_path: Path) -> None:
    one = track(tmp_path, "one", 9.0)
    film = write_video(tmp_path / "film.mp4", [(3.0, "red")], audio="tone")
    for n_samples in (1, 479, 144_001, 230_399):
        seconds = Fraction(n_samples, RATE_HZ)
        made = render([MixClip(one, 0, seconds)], seconds, tmp_path / "out", film)
        assert made.original is not None
        for path in (made.mix, made.music, made.original):
            assert samples(path).shape == (2, n_samples)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "mix.wav",
        "music.wav",
        "original.wav",
    ]


def test_a_clip_lies_where_it_was_put_to_the_sample(tmp_path: Path) -> None:
    steps = np.zeros((2, 5 * RATE_HZ), np.float32)
    steps[:, 100_003] = 0.5  # one sample that is not zero
    source = write_audio(tmp_path / "impulse.wav", steps, RATE_HZ, "pcm_f32le")
    start_s, source_start_s = Fraction(1001, 1000), Fraction(2, 3)
    clip = MixClip(source, start_s, 3, source_start_s)
    made = render([clip], 5, tmp_path / "out")
    found = int(np.argmax(np.abs(samples(made.music)[0])))
    assert found == round(start_s * RATE_HZ) + 100_003 - round(source_start_s * RATE_HZ)


def test_a_crossfade_keeps_the_power_and_does_not_click(tmp_path: Path) -> None:
    one = write_audio(tmp_path / "one.wav", np.stack([noise(8, 1, RATE_HZ)] * 2), RATE_HZ, "flac")
    two = write_audio(tmp_path / "two.wav", np.stack([noise(8, 2, RATE_HZ)] * 2), RATE_HZ, "flac")
    clips = [MixClip(one, 0, 6, 0, 0, 2), MixClip(two, 4, 6, 0, 2, 0)]
    sound = samples(render(clips, 10, tmp_path / "out").music)
    steady = level_db(sound, 2, 2)
    for at_s in (4.2, 4.6, 5.0, 5.4, 5.8):
        assert level_db(sound, at_s, 0.3) == pytest.approx(steady, abs=0.5)

    # Tones have a largest possible step between neighbouring samples. Two of them at equal power
    # add up to no more than the root of their squares; a hard cut here steps 20 times as far.
    low, high = track(tmp_path, "low", 8, 110), track(tmp_path, "high", 8, 277)
    clips = [MixClip(low, 0, 5, 0.123, 0, 1), MixClip(high, 4, 4, 1.01, 1, 0)]
    joined = samples(render(clips, 8, tmp_path / "out").music)
    steps = np.abs(np.diff(joined[0]))
    own = math.hypot(steps[50_000:180_000].max(), steps[250_000:370_000].max())
    assert steps.max() <= own * 1.001


def test_clips_without_fades_begin_and_end_softly(tmp_path: Path) -> None:
    one = track(tmp_path, "one", 8)
    sound = samples(
        render([MixClip(one, 1, 2, 0.1), MixClip(one, 3, 2, 5.3)], 6, tmp_path / "o").music
    )
    steady = np.abs(np.diff(sound[:, 70_000:130_000])).max()
    assert np.abs(np.diff(sound)).max() <= steady * 1.05  # a hard cut would be 5 times that
    assert np.abs(sound[:, :48_000]).max() == 0


def test_lanes_are_as_few_as_the_overlaps_need(tmp_path: Path) -> None:
    one = track(tmp_path, "one", 8)
    neighbours = [MixClip(one, 2 * i, 3) for i in range(5)]
    assert Lanes(neighbours, 12 * RATE_HZ, tmp_path / "a").n_lanes == 2
    assert Lanes([MixClip(one, 0, 5)] * 3, 12 * RATE_HZ, tmp_path / "b").n_lanes == 3
    assert Lanes([MixClip(one, 0, 2), MixClip(one, 2, 2)], 5 * RATE_HZ, tmp_path / "c").n_lanes == 1


@pytest.mark.parametrize("depth_db", [3.0, 12.0, 24.0])
def test_the_music_goes_down_by_what_was_asked(tmp_path: Path, depth_db: float) -> None:
    one = track(tmp_path, "one", 20)
    settings = MixSettings(duck_db=depth_db, level_match=0, duck_attack_s=0.2, duck_release_s=0.8)
    made = render([MixClip(one, 0, 16)], 16, tmp_path / "out", None, [(5, 8), (8.6, 9)], settings)
    sound = samples(made.music)
    full = level_db(sound, 3)
    for at_s in (5.02, 6.5, 8.3, 8.9):  # down at the first word and in the short pause
        assert level_db(sound, at_s, 0.02) - full == pytest.approx(-depth_db, abs=1.0)
    assert level_db(sound, 6.5) - full == pytest.approx(-depth_db, abs=0.1)
    assert level_db(sound, 4.75) == pytest.approx(full, abs=0.1)
    assert level_db(sound, 9.4) - full == pytest.approx(-depth_db / 2, abs=0.6)  # half way back
    assert level_db(sound, 9.9) == pytest.approx(full, abs=0.1)
    # the curve for editors is the curve that sounds
    times_s, gains_db = zip(*made.duck, strict=True)
    for at_s in np.arange(4.5, 10.5, 0.05):
        drawn = float(np.interp(at_s, times_s, gains_db))
        assert level_db(sound, at_s, 0.02) - full == pytest.approx(drawn, abs=0.8)


def test_no_ducking_without_speech_or_when_it_is_off(tmp_path: Path) -> None:
    one = track(tmp_path, "one", 8)
    off = MixSettings(duck_db=0)
    assert render([MixClip(one, 0, 6)], 6, tmp_path / "a", None, [(1, 3)], off).duck == []
    made = render([MixClip(one, 0, 6)], 6, tmp_path / "b")
    assert made.duck == []
    assert level_db(samples(made.music), 2) == pytest.approx(
        level_db(samples(made.music), 5), abs=0.01
    )


@pytest.mark.parametrize("target", [-14.0, -23.0])
@pytest.mark.parametrize("kind", ["music", "peaks"])
def test_loudness_and_true_peak_by_two_meters(tmp_path: Path, target: float, kind: str) -> None:
    sound = noise(12, 4, RATE_HZ, 0.05) + tone(200, 12, RATE_HZ, 0.3)
    if kind == "peaks":  # far more crest than -14 LUFS allows: the limiter must work
        sound = 0.1 * sound
        sound[20_000::30_000] = 0.9
        sound[20_001::30_000] = -0.9
    source = write_audio(tmp_path / "s.wav", np.stack([sound, 0.7 * sound]), RATE_HZ, "pcm_f32le")
    made = render(
        [MixClip(source, 0, 12, 0, 0.5, 0.5)],
        12,
        tmp_path / "out",
        None,
        [],
        MixSettings(loudness_lufs=target),
    )
    mix = samples(made.mix)
    own = measure(made.mix)
    other = pyloudnorm.Meter(RATE_HZ).integrated_loudness(mix.T)
    assert own.integrated_lufs == pytest.approx(target, abs=0.1)
    assert other == pytest.approx(target, abs=0.2)
    assert own.true_peak_dbtp is not None
    assert own.true_peak_dbtp <= -1.5 + 0.02
    assert made.loudness_lufs == pytest.approx(own.integrated_lufs, abs=0.01)
    assert made.true_peak_dbtp == pytest.approx(own.true_peak_dbtp, abs=0.02)
    if kind == "peaks" and target == -14:
        assert made.limiter_db > 3
    if kind == "music":
        assert made.limiter_db == 0
    assert made.warnings == []


def test_stems_add_up_to_the_mix_even_where_the_limiter_works(tmp_path: Path) -> None:
    music = chords([48, 53, 55, 50] * 2, (0, 4, 7), 1.0, RATE_HZ)
    source = write_audio(tmp_path / "s.wav", np.stack([music, music]), RATE_HZ, "pcm_f32le")
    bang = np.stack([noise(8, 5, RATE_HZ, 0.01)] * 2)
    bang[:, 100_000:103_000] *= 60
    film = write_audio(tmp_path / "film.flac", bang, RATE_HZ, "flac")
    made = render([MixClip(source, 0, 8)], 8, tmp_path / "out", film)
    assert made.limiter_db > 1
    assert 0 < made.limited_s < 2
    assert made.original is not None
    residue = samples(made.mix) - samples(made.music) - samples(made.original)
    assert np.abs(residue).max() <= 2 * 2**-23  # the rounding of three files to 24 bits


def test_the_music_is_balanced_against_what_it_accompanies(tmp_path: Path) -> None:
    source = track(tmp_path, "one", 12, 440, 0.02)
    film = write_audio(
        tmp_path / "f.flac", np.stack([tone(700, 10, RATE_HZ, 0.3)] * 2), RATE_HZ, "flac"
    )
    clips = [MixClip(source, 0, 10)]
    made = render(clips, 10, tmp_path / "a", film, [], MixSettings(bed_without_speech_lu=3))
    assert made.original is not None
    difference = measure(made.music).integrated_lufs - measure(made.original).integrated_lufs  # type: ignore[operator]
    assert difference == pytest.approx(3, abs=0.2)
    spoken = render(clips, 10, tmp_path / "b", film, [(2, 4)], MixSettings(bed_lu=-3, duck_db=0))
    assert spoken.original is not None
    difference = measure(spoken.music).integrated_lufs - measure(spoken.original).integrated_lufs  # type: ignore[operator]
    assert difference == pytest.approx(-3, abs=0.2)
    alone = render(clips, 10, tmp_path / "c", film, [], MixSettings(keep_original=False))
    assert alone.original is None
    np.testing.assert_array_equal(samples(alone.mix), samples(alone.music))


def test_room_noise_is_not_what_the_music_is_balanced_to(tmp_path: Path) -> None:
    source = track(tmp_path, "one", 8)
    hiss = np.stack([noise(8, 3, RATE_HZ, 0.0005)] * 2)
    film = write_audio(tmp_path / "f.flac", hiss, RATE_HZ, "flac")
    made = render([MixClip(source, 0, 8)], 8, tmp_path / "a", film)
    assert made.original is not None
    assert measure(made.mix).integrated_lufs == pytest.approx(-14, abs=0.1)
    assert measure(made.original).integrated_lufs < -40  # type: ignore[operator]


def test_tracks_of_different_mastering_come_together(tmp_path: Path) -> None:
    loud, soft = track(tmp_path, "loud", 8, 220, 0.5), track(tmp_path, "soft", 8, 220, 0.02)
    clips = [MixClip(loud, 0, 5), MixClip(soft, 5, 5)]

    def step_db(share: float) -> float:
        made = render(clips, 10, tmp_path / "o", settings=MixSettings(level_match=share))
        return level_db(samples(made.music), 3) - level_db(samples(made.music), 8)

    assert step_db(0) == pytest.approx(27.96, abs=0.1)
    assert step_db(0.5) == pytest.approx(13.98, abs=0.1)
    assert step_db(1) == pytest.approx(0, abs=0.1)


def test_a_track_that_ends_early_is_reported_and_fades(tmp_path: Path) -> None:
    short = track(tmp_path, "short", 3)
    made = render([MixClip(short, 1, 6, 0, 0, 1)], 8, tmp_path / "out")
    assert made.silences == [(pytest.approx(4, abs=0.1), pytest.approx(7, abs=0.1))]
    assert any("ends 3.00 s before" in warning for warning in made.warnings)
    sound = samples(made.music)
    assert level_db(sound, 3.9) < level_db(sound, 2) - 10  # its own fade, at its own end


def test_silence_inside_a_track_is_reported_and_asked_silence_is_not(tmp_path: Path) -> None:
    holed = np.stack([tone(330, 8, RATE_HZ, 0.3)] * 2)
    holed[:, 3 * RATE_HZ : 4 * RATE_HZ] = 0
    source = write_audio(tmp_path / "holed.flac", holed, RATE_HZ, "flac")
    made = render([MixClip(source, 2, 8)], 20, tmp_path / "out")
    assert made.silences == [(pytest.approx(5, abs=0.02), pytest.approx(6, abs=0.02))]
    whole = render(
        [MixClip(source, 0, 3, 0, 1, 1), MixClip(source, 2, 4, 4, 1, 1)], 6, tmp_path / "b"
    )
    assert whole.silences == []


def test_the_original_is_put_on_the_pictures_clock(tmp_path: Path) -> None:
    # The sound of the film starts 0.5 s after its picture, is 5.1 at 44.1 kHz, and ends early.
    sound = np.zeros((6, 2 * 44_100), np.float32)
    sound[2] = tone(600, 2, 44_100, 0.5)  # the centre
    film = write_audio(tmp_path / "f.mkv", sound, 44_100, "flac", "5.1", start_s=0.5)
    source = track(tmp_path, "one", 6)
    settings = MixSettings(bed_without_speech_lu=-30)
    made = render([MixClip(source, 0, 5)], 5, tmp_path / "out", film, [], settings)
    assert made.original is not None
    stem = samples(made.original)
    assert stem.shape == (2, 5 * RATE_HZ)
    np.testing.assert_allclose(stem[0], stem[1], atol=1e-6)
    loud = np.flatnonzero(np.abs(stem[0]) > 0.01)
    # a file without a picture starts with its first sound
    assert loud[0] / RATE_HZ == pytest.approx(0, abs=0.01)
    assert loud[-1] / RATE_HZ == pytest.approx(2, abs=0.02)


def test_the_same_input_gives_the_same_bits(tmp_path: Path) -> None:
    one = track(tmp_path, "one", 8)
    film = write_video(tmp_path / "film.mp4", [(5.0, "blue")], audio="tone")

    def digest(folder: str) -> str:
        made = render([MixClip(one, 0, 5, 1, 1, 1)], 5, tmp_path / folder, film, [(1, 2)])
        return hashlib.sha256(made.mix.read_bytes() + made.music.read_bytes()).hexdigest()

    assert digest("a") == digest("b")


def test_films_without_music_or_without_anything(tmp_path: Path) -> None:
    film = write_audio(tmp_path / "f.flac", np.stack([noise(4, 1, RATE_HZ)] * 2), RATE_HZ, "flac")
    made = render([], 4, tmp_path / "a", film)
    assert np.abs(samples(made.music)).max() == 0
    assert made.loudness_lufs == pytest.approx(-14, abs=0.1)
    nothing = render([], 2, tmp_path / "b")
    assert nothing.loudness_lufs is None
    assert nothing.true_peak_dbtp is None
    assert np.abs(samples(nothing.mix)).max() == 0
    assert any("loudness" in warning for warning in nothing.warnings)


def test_mistakes_are_told_and_leave_nothing(tmp_path: Path) -> None:
    one = track(tmp_path, "one", 3)
    out = tmp_path / "out"
    with pytest.raises(MediaError, match="outside the film"):
        render([MixClip(one, 9, 2)], 5, out)
    with pytest.raises(MediaError, match="negative time"):
        render([MixClip(one, -1, 2)], 5, out)
    with pytest.raises(MediaError, match="no such file"):
        render([MixClip(tmp_path / "none.wav", 0, 2)], 5, out)
    with pytest.raises(MediaError, match="0 samples"):
        render([], 0, out)
    assert list(out.iterdir()) == []
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(MediaError, match="cannot write"):
        render([MixClip(one, 0, 2)], 2, tmp_path / "file")
    with pytest.raises(ConfigError, match="loudness_lufs"):
        MixSettings.load(assignments=["loudness_lufs=3"])
