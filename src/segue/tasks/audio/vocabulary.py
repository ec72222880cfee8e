"""The words of the task: moods, instruments, and the prompts that are made of them.

Moods are the four quadrants of valence and arousal (J. Russell, "A circumplex model of affect",
1980), in the order of the EMOPIA data: Q1 happy, Q2 angry, Q3 sad, Q4 tender. As in the original a
prompt names an emotion and an instrument; many words mean the same quadrant or instrument.

One fifth of the pairs of words, and four pairs of mood and instrument, never occur in training
captions: what a model makes of them shows whether it understands words or remembers prompts.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np

from segue.core.errors import UsageError
from segue.core.names import unknown
from segue.music.theory import parse_key

__all__ = [
    "EMOTION_WORDS",
    "HELD_OUT_PAIRS",
    "INSTRUMENTS",
    "INSTRUMENT_WORDS",
    "MOODS",
    "TEMPO_BPM",
    "Instrument",
    "Prompt",
    "held_out",
    "make_prompt",
    "understand",
    "words_of_instrument",
    "words_of_mood",
]

MOODS = ("happy", "angry", "sad", "tender")
"""Q1 to Q4; the index of a mood is its number everywhere."""

_WORDS_OF_MOODS = (
    "happy joyful cheerful excited energetic playful lively exuberant jubilant upbeat triumphant "
    "festive bright elated",
    "angry furious aggressive tense fearful anxious agitated violent frantic menacing hostile "
    "nervous raging turbulent alarming",
    "sad melancholic gloomy sorrowful mournful depressed lonely bleak tragic grieving somber weary "
    "despairing wistful hopeless",
    "tender calm peaceful relaxed serene gentle soothing dreamy tranquil warm loving soft restful "
    "placid mellow",
)

EMOTION_WORDS: dict[str, int] = {
    word: mood for mood, words in enumerate(_WORDS_OF_MOODS) for word in words.split()
}
"""Word -> mood: 14 for Q1 and 15 for each of the others, as many as the original has."""

_FORMS = {
    "happiness": "happy", "happily": "happy", "joy": "joyful", "excitement": "excited",
    "anger": "angry", "angrily": "angry", "rage": "raging", "fury": "furious", "fear": "fearful",
    "tension": "tense", "sadness": "sad", "sadly": "sad", "melancholy": "melancholic",
    "sorrow": "sorrowful", "sombre": "somber", "depressing": "depressed", "tenderness": "tender",
    "tenderly": "tender", "calmly": "calm", "gently": "gentle", "softly": "soft",
    "peace": "peaceful", "relaxing": "relaxed",
}  # fmt: skip
"""Other forms that people write -> the word that is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Instrument:
    """One of the instruments that clips are played on."""

    name: str
    programs: tuple[int, ...]
    """General MIDI programmes, counted from 0, of the clips."""
    unseen_programs: tuple[int, ...]
    """Programmes of its relatives for the other set of timbres; where it has none, its own."""
    low: int
    """Lowest MIDI pitch."""
    high: int
    """Highest MIDI pitch."""
    polyphonic: bool
    """Whether one player has melody and chords at once; else several players share them."""
    words: tuple[str, ...]
    """What prompts call it, `name` first."""


INSTRUMENTS: tuple[Instrument, ...] = (
    Instrument(
        name="piano", programs=(0,), unseen_programs=(1, 3), low=33, high=96, polyphonic=True,
        words=("piano", "grand piano", "pianoforte"),
    ),
    Instrument(
        name="guitar", programs=(24, 25), unseen_programs=(26,), low=40, high=83, polyphonic=True,
        words=("guitar", "acoustic guitar", "classical guitar"),
    ),
    Instrument(
        name="violin", programs=(40,), unseen_programs=(41,), low=55, high=96, polyphonic=False,
        words=("violin", "fiddle", "concert violin"),
    ),
    Instrument(
        name="cello", programs=(42,), unseen_programs=(43,), low=36, high=69, polyphonic=False,
        words=("cello", "violoncello", "concert cello"),
    ),
    Instrument(
        name="flute", programs=(73,), unseen_programs=(74, 72), low=60, high=93, polyphonic=False,
        words=("flute", "silver flute", "transverse flute"),
    ),
    Instrument(
        name="trumpet", programs=(56,), unseen_programs=(57,), low=53, high=82, polyphonic=False,
        words=("trumpet", "cornet", "jazz trumpet"),
    ),
    Instrument(
        name="saxophone", programs=(65, 66), unseen_programs=(64,), low=46, high=80,
        polyphonic=False, words=("saxophone", "sax", "tenor saxophone"),
    ),
    Instrument(
        name="clarinet", programs=(71,), unseen_programs=(71,), low=50, high=87, polyphonic=False,
        words=("clarinet", "soprano clarinet", "chalumeau"),
    ),
    Instrument(
        name="organ", programs=(19,), unseen_programs=(16, 20), low=36, high=88, polyphonic=True,
        words=("organ", "pipe organ", "church organ"),
    ),
    Instrument(
        name="marimba", programs=(12,), unseen_programs=(13, 11), low=45, high=91, polyphonic=True,
        words=("marimba", "xylophone", "mallets"),
    ),
)  # fmt: skip
"""Ten, of ten timbres; the index of an instrument is its number everywhere."""

INSTRUMENT_WORDS: dict[str, int] = {
    word: index for index, each in enumerate(INSTRUMENTS) for word in each.words
}
"""What prompts call instruments -> number; 30, as many as the original has."""

HELD_OUT_PAIRS: frozenset[tuple[int, int]] = frozenset(
    (MOODS.index(mood), INSTRUMENT_WORDS[name])
    for mood, name in (
        ("happy", "cello"), ("angry", "flute"), ("sad", "guitar"), ("tender", "trumpet")
    )
)  # fmt: skip
"""(mood, instrument) pairs of which training holds neither sound nor words; one of each mood."""

TEMPO_BPM = (60, 160)
"""Slowest and fastest, in quarter notes per minute."""

_HELD_OUT_SHARE = 0.2
_TEMPLATES = (
    "a recording of {a} {emotion} {instrument} solo, high quality",
    "a recording of {a} {emotion} {instrument} solo",
    "{a} {emotion} {instrument} solo",
    "{emotion} {instrument} music",
    "{a} {emotion} piece for {instrument}",
    "{emotion} music played on the {instrument}",
    "the {instrument} plays {a} {emotion} melody",
)
_FIRST_TEMPLATE_SHARE = 0.4
"""Of drawn prompts; it is the one that tuning and evaluation use."""
_NEGATIONS = frozenset({"no", "not", "never", "without", "isn't", "non"})
_PASSED_OVER = frozenset({"a", "an", "the", "too", "very"})
_ACCIDENTALS = {"#": " sharp", "b": " flat", "": ""}
_KEY = re.compile(
    r"\b(?:in|key of|key:)\s+([a-g])[\s-]?(sharp|flat|#|♯|♭|b)?[\s-]*"
    r"(major|minor|dorian|phrygian|lydian|mixolydian|locrian)\b",
    re.IGNORECASE,
)
_TEMPO = re.compile(r"\b(\d{2,3}(?:\.\d+)?)\s*(?:bpm|beats per minute)\b", re.IGNORECASE)
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


@dataclass(frozen=True, slots=True)
class Prompt:
    """A text and what is known of its meaning; None where it says nothing about it."""

    text: str
    mood: int | None = None
    """Index into `MOODS`."""
    instrument: int | None = None
    """Index into `INSTRUMENTS`."""
    emotion_word: str | None = None
    """A key of `EMOTION_WORDS`."""
    key: str | None = None
    """As `segue.music.theory.Key` prints it: `C major`, `F# minor`."""
    tempo: float | None = None
    """Quarter notes per minute."""
    instrument_word: str | None = None
    """A key of `INSTRUMENT_WORDS`."""


def make_prompt(
    emotion_word: str,
    instrument_word: str,
    rng: np.random.Generator | None = None,
    key: str | None = None,
    tempo: float | None = None,
) -> Prompt:
    """Return the prompt of two words.

    Args:
        emotion_word: a key of `EMOTION_WORDS`.
        instrument_word: a key of `INSTRUMENT_WORDS`.
        rng: draws one of several ways of saying it; None gives the original's, in which all of
            tuning and evaluation is written.
        key: added to the text when given, as in `C major`.
        tempo: added to the text when given, in quarter notes per minute.

    Raises:
        UnknownName: a word that is not in its table.
        UsageError: the key is none.
    """
    if emotion_word not in EMOTION_WORDS:
        raise unknown("emotion word", emotion_word, EMOTION_WORDS)
    if instrument_word not in INSTRUMENT_WORDS:
        raise unknown("instrument word", instrument_word, INSTRUMENT_WORDS)
    template = _TEMPLATES[0]
    if rng is not None and rng.random() >= _FIRST_TEMPLATE_SHARE:
        template = _TEMPLATES[int(rng.integers(1, len(_TEMPLATES)))]
    article = "an" if emotion_word[0] in "aeiou" else "a"
    text = template.format(a=article, emotion=emotion_word, instrument=instrument_word)
    if key is not None:
        key = str(parse_key(key))
        tonic, mode = key.split()
        # Spelled out, so that a tokenizer of words sees a letter and a word.
        text += f", in {tonic[0]}{_ACCIDENTALS[tonic[1:]]} {mode}"
    if tempo is not None:
        text += f", at {tempo:g} bpm"
    return Prompt(
        text=text,
        mood=EMOTION_WORDS[emotion_word],
        instrument=INSTRUMENT_WORDS[instrument_word],
        emotion_word=emotion_word,
        key=key,
        tempo=None if tempo is None else float(tempo),
        instrument_word=instrument_word,
    )


def understand(text: str) -> Prompt:
    """Return what a text of any form says about mood, instrument, key and tempo.

    The first word of each kind counts; one that follows a "no", "not" or "without" does not. Names
    of several words win over the words in them.
    """
    words = [found[0].casefold().replace("’", "'") for found in _WORD.finditer(text)]
    emotion = _first_phrase(words, EMOTION_WORDS, _FORMS)
    instrument = _first_phrase(words, INSTRUMENT_WORDS, _PLURALS)
    key = _key_in(text)
    tempo = _TEMPO.search(text)
    return Prompt(
        text=text,
        mood=None if emotion is None else EMOTION_WORDS[emotion],
        instrument=None if instrument is None else INSTRUMENT_WORDS[instrument],
        emotion_word=emotion,
        key=key,
        tempo=float(tempo[1]) if tempo else None,
        instrument_word=instrument,
    )


def held_out(emotion_word: str, instrument_word: str) -> bool:
    """Return whether no training caption holds these two words together.

    True for all words of `HELD_OUT_PAIRS`, and for one fifth of the pairs of words of every other
    mood and instrument, drawn by a hash that no setting changes.

    Raises:
        UnknownName: a word that is not in its table.
    """
    if emotion_word not in EMOTION_WORDS:
        raise unknown("emotion word", emotion_word, EMOTION_WORDS)
    if instrument_word not in INSTRUMENT_WORDS:
        raise unknown("instrument word", instrument_word, INSTRUMENT_WORDS)
    pair = EMOTION_WORDS[emotion_word], INSTRUMENT_WORDS[instrument_word]
    return pair in HELD_OUT_PAIRS or (emotion_word, instrument_word) in _held_out_words(*pair)


def words_of_mood(mood: int) -> tuple[str, ...]:
    """Return the emotion words of a mood, its name first."""
    return tuple(_WORDS_OF_MOODS[mood].split())


def words_of_instrument(instrument: int) -> tuple[str, ...]:
    """Return what prompts call an instrument, its name first."""
    return INSTRUMENTS[instrument].words


_PLURALS = {f"{word}s": word for word in INSTRUMENT_WORDS if not word.endswith("s")}


@cache
def _held_out_words(mood: int, instrument: int) -> frozenset[tuple[str, str]]:
    pairs = [(e, i) for e in words_of_mood(mood) for i in words_of_instrument(instrument)]
    pairs.sort(key=lambda pair: hashlib.sha256(" ".join(pair).encode()).digest())
    plain = MOODS[mood], INSTRUMENTS[instrument].name  # the pair that results are reported for
    pairs.remove(plain)
    return frozenset(pairs[: round(_HELD_OUT_SHARE * (len(pairs) + 1))])


def _first_phrase(
    words: list[str], known: Mapping[str, int], forms: Mapping[str, str]
) -> str | None:
    """Return the first known phrase; of two that begin at one word, the longer."""
    longest = max(len(phrase.split()) for phrase in known)
    for start in range(len(words)):
        for length in range(longest, 0, -1):
            phrase = " ".join(words[start : start + length])
            phrase = forms.get(phrase, phrase)
            if phrase in known and not _negated(words[:start]):
                return phrase
    return None


def _negated(before: list[str]) -> bool:
    said = [word for word in before[-3:] if word not in _PASSED_OVER]
    return bool(said) and said[-1] in _NEGATIONS


def _key_in(text: str) -> str | None:
    found = _KEY.search(text)
    if found is None or (found[1] == "a" and not found[2]):  # "in a major hurry" is no key
        return None
    sign = {"sharp": "#", "#": "#", "♯": "#", "flat": "b", "♭": "b", "b": "b"}
    accidental = sign.get((found[2] or "").lower(), "")
    try:
        return str(parse_key(f"{found[1].upper()}{accidental} {found[3].lower()}"))
    except UsageError:
        return None
