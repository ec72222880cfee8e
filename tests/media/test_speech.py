"""Speech is found in silence and under music; what is not speech is left alone.

Scores written beside the thresholds: a detector that always says "speech" finds all of it and is
wrong on every other second; one that never does finds none.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from segue.core.errors import MediaError
from segue.media.speech import RATE_HZ, SpeechActivity, find_speech, find_speech_in_blocks
from tests.synthetic_audio import MAJOR, MINOR, chords, clicks, noise, tone, write_audio
from tests.synthetic_speech import speech


def music(duration_s: float) -> np.ndarray:
    bars = chords([48, 53, 55, 45], [MAJOR, MAJOR, MAJOR, MINOR], 1.0, RATE_HZ)
    sound = np.resize(bars, round(duration_s * RATE_HZ)) + 0.2 * clicks(100, duration_s, RATE_HZ)
    return 0.1 * sound / np.sqrt(np.mean(sound**2))


def placed(sound: np.ndarray, at_s: float, length_s: float) -> np.ndarray:
    out = np.zeros(round(length_s * RATE_HZ), np.float32)
    start = round(at_s * RATE_HZ)
    out[start : start + len(sound)] = sound
    return out


def overlap(found: SpeechActivity, start_s: float, end_s: float) -> tuple[float, float]:
    """Return the shares of the true speech that was found, and of the rest that was claimed."""
    times_s = found.times_s
    claimed = np.zeros(len(times_s), bool)
    for a, b in found.intervals:
        claimed |= (times_s >= a) & (times_s <= b)
    true = (times_s >= start_s) & (times_s <= end_s)
    return float(claimed[true].mean()), float(claimed[~true].mean())


@pytest.mark.parametrize("pitch_hz", [110, 210])
@pytest.mark.parametrize("music_db", [-120, -15, -6])
def test_a_phrase_is_found_alone_and_over_music(pitch_hz: float, music_db: float) -> None:
    sound = placed(speech(4, 1, pitch_hz=pitch_hz), 4, 14) + music(14) * 10 ** (music_db / 20)
    found = find_speech_in_blocks([sound])
    hit, false = overlap(found, 4, 8)
    assert hit >= 0.8  # 0.86 to 1.0 measured
    assert false <= 0.15  # the second and a half of averaging blurs the ends
    assert len(found.intervals) == 1
    assert found.share == pytest.approx(4 / 14, abs=0.12)


@pytest.mark.parametrize(
    "sound",
    [
        music(12),
        noise(12, 3, RATE_HZ),
        clicks(130, 12, RATE_HZ),
        tone(300, 12, RATE_HZ),
        np.zeros(12 * RATE_HZ, np.float32),
    ],
    ids=["chords", "noise", "clicks", "tone", "silence"],
)
def test_what_is_not_speech_is_not_taken_for_it(sound: np.ndarray) -> None:
    assert find_speech_in_blocks([sound]).intervals == []


def test_the_level_does_not_matter() -> None:
    sound = placed(speech(4, 2), 3, 10)
    loud, soft = find_speech_in_blocks([sound]), find_speech_in_blocks([sound * 0.01])
    assert overlap(loud, 3, 7)[0] > 0.9
    assert overlap(soft, 3, 7)[0] > 0.9


def test_short_pauses_are_closed_and_long_ones_kept() -> None:
    sound = (
        placed(speech(3, 5), 1, 16) + placed(speech(3, 6), 4.2, 16) + placed(speech(3, 7), 11, 16)
    )
    found = find_speech_in_blocks([sound]).intervals
    assert len(found) == 2
    (first_start, first_end), (second_start, _) = found
    assert first_start == pytest.approx(1, abs=0.7)
    assert first_end == pytest.approx(7.2, abs=0.7)
    assert second_start == pytest.approx(11, abs=0.7)


def test_blocks_and_chunks_leave_no_seam() -> None:
    sound = placed(speech(6, 8), 17, 50)  # across the border of the first chunk of 20 s
    sound += placed(speech(3, 9), 38.5, 50)
    whole = find_speech_in_blocks([sound])
    pieces = find_speech_in_blocks(sound[i : i + 10_007] for i in range(0, len(sound), 10_007))
    assert pieces.intervals == whole.intervals
    np.testing.assert_array_equal(pieces.probability, whole.probability)
    assert len(whole.times_s) == (len(sound) - 1024) // 160 + 1
    assert len(whole.intervals) == 2


def test_files_keep_the_clock_and_nothing_at_all_is_nothing(tmp_path: Path) -> None:
    path = write_audio(tmp_path / "a.flac", placed(speech(3, 4), 2, 8), RATE_HZ, "flac")
    found = find_speech(path)
    assert overlap(found, 2, 5)[0] > 0.8
    assert find_speech_in_blocks([np.zeros(500)]).intervals == []
    with pytest.raises(MediaError, match="no such file"):
        find_speech(tmp_path / "none.wav")


@pytest.mark.slow
def test_the_lines_of_a_real_trailer_and_no_talk_in_music(shared_data: Path) -> None:
    found = find_speech(shared_data / "videos" / "sintel_trailer.mp4")
    for start_s, end_s in [(12.3, 14.2), (18.8, 19.7), (37.2, 38.7), (41.9, 43.5)]:
        middle_s = (start_s + end_s) / 2
        assert any(a <= middle_s <= b for a, b in found.intervals), f"the line at {start_s} s"
    for name in ("chaplin_bw.mp4", "crystal_closeup.mp4", "car_detection_12fps.mp4"):
        assert find_speech(shared_data / "videos" / name).intervals == []
    tracks = sorted((shared_data / "music").glob("*.ogg"))[::16]
    spoken_s = total_s = 0.0
    for track in tracks:
        activity = find_speech(track)
        total_s += len(activity.times_s) / 100
        spoken_s += activity.share * len(activity.times_s) / 100
    assert spoken_s / total_s < 0.05  # 3.6 % over the whole folder
