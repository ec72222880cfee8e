"""Words, prompts, and what is held out of training."""

from __future__ import annotations

import numpy as np
import pytest

from segue.core.errors import UnknownName, UsageError
from segue.tasks.audio.vocabulary import (
    EMOTION_WORDS,
    HELD_OUT_PAIRS,
    INSTRUMENT_WORDS,
    INSTRUMENTS,
    MOODS,
    held_out,
    make_prompt,
    understand,
    words_of_instrument,
    words_of_mood,
)


def test_there_are_as_many_words_as_in_the_original() -> None:
    assert [len(words_of_mood(mood)) for mood in range(4)] == [14, 15, 15, 15]
    assert len(EMOTION_WORDS) == 59
    assert len(INSTRUMENT_WORDS) == 30
    assert [words_of_mood(mood)[0] for mood in range(4)] == list(MOODS)
    assert [words_of_instrument(i)[0] for i in range(10)] == [each.name for each in INSTRUMENTS]


def test_the_prompt_of_tuning_and_evaluation() -> None:
    assert make_prompt("angry", "piano").text == (
        "a recording of an angry piano solo, high quality"
    )
    assert make_prompt("sad", "sax", key="F# minor", tempo=92).text == (
        "a recording of a sad sax solo, high quality, in F sharp minor, at 92 bpm"
    )


def test_every_prompt_is_understood_as_it_was_meant() -> None:
    rng = np.random.default_rng(0)
    texts = set()
    for emotion in EMOTION_WORDS:
        for instrument in INSTRUMENT_WORDS:
            key = ("Eb major", "F# minor", None)[int(rng.integers(3))]
            tempo = (96.0, None)[int(rng.integers(2))]
            prompt = make_prompt(emotion, instrument, rng, key, tempo)
            assert understand(prompt.text) == prompt
            assert " a e" not in f" {prompt.text}"
            texts.add(prompt.text.replace(emotion, "E").replace(instrument, "I").split(", ")[0])
    assert len(texts) >= 6  # several ways of saying it, "a" and "an"


@pytest.mark.parametrize(
    ("text", "mood", "instrument"),
    [
        ("SAD Pianos!", 2, "piano"),
        ("not sad but joyful music for violoncello", 0, "cello"),
        ("a very calm tenor saxophone", 3, "saxophone"),
        ("without a happy ending: fear, on the church organ", 1, "organ"),
        ("full of sorrow", 2, None),
        ("happy-go-lucky xylophone", 0, "marimba"),
        ("the saddle of a pianist", None, None),
        ("悲しい 🎹", None, None),
        ("", None, None),
    ],
)
def test_free_texts(text: str, mood: int | None, instrument: str | None) -> None:
    said = understand(text)
    assert said.mood == mood
    assert said.instrument == (None if instrument is None else INSTRUMENT_WORDS[instrument])
    assert said.text == text


@pytest.mark.parametrize(
    ("text", "key", "tempo"),
    [
        ("in c major at 90 BPM", "C major", 90.0),
        ("piano in B♭ minor, 132.5 bpm", "Bb minor", 132.5),
        ("in D dorian, 120 beats per minute", "D dorian", 120.0),
        ("in a major mood", None, None),
        ("in a happy mood, bpm 12", None, None),
    ],
)
def test_keys_and_tempi(text: str, key: str | None, tempo: float | None) -> None:
    said = understand(text)
    assert (said.key, said.tempo) == (key, tempo)


def test_unknown_words() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'happy'"):
        make_prompt("hapy", "piano")
    with pytest.raises(UnknownName, match="instrument word"):
        held_out("happy", "theremin")
    with pytest.raises(UsageError, match="not a key"):
        make_prompt("happy", "piano", key="H major")


def test_one_fifth_is_held_out_of_every_mood_and_instrument() -> None:
    """Never all of one, never a plain pair, and the four pairs as a whole."""
    assert sorted(mood for mood, _ in HELD_OUT_PAIRS) == [0, 1, 2, 3]
    assert len({instrument for _, instrument in HELD_OUT_PAIRS}) == 4
    for mood in range(4):
        for instrument in range(10):
            pairs = [(e, i) for e in words_of_mood(mood) for i in words_of_instrument(instrument)]
            share = np.mean([held_out(e, i) for e, i in pairs])
            if (mood, instrument) in HELD_OUT_PAIRS:
                assert share == 1.0
            else:
                assert share == pytest.approx(0.2, abs=0.02)
                assert not held_out(MOODS[mood], INSTRUMENTS[instrument].name)


def test_every_word_is_heard_in_training() -> None:
    for emotion in EMOTION_WORDS:
        assert not all(held_out(emotion, i) for i in INSTRUMENT_WORDS)
    for instrument in INSTRUMENT_WORDS:
        assert not all(held_out(e, instrument) for e in EMOTION_WORDS)
