"""The prompts that a model is tuned on: from a file, or from words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from segue.core.errors import UsageError
from segue.core.names import unknown
from segue.tasks.audio.config import PromptConfig
from segue.tasks.audio.vocabulary import (
    EMOTION_WORDS,
    HELD_OUT_PAIRS,
    INSTRUMENT_WORDS,
    INSTRUMENTS,
    Prompt,
    held_out,
    make_prompt,
    understand,
)

__all__ = ["tuning_prompts"]


def tuning_prompts(config: PromptConfig) -> list[Prompt]:
    """Return the distinct prompts of a configuration, in a fixed order.

    Raises:
        UsageError: the file cannot be read, or no prompt is left.
        UnknownName: a word that is not in the vocabulary.
    """
    if config.file is not None:
        return _from_file(config)
    emotions = _words(config.emotions, {"all": EMOTION_WORDS}, EMOTION_WORDS, "emotion word")
    first_names = [instrument.name for instrument in INSTRUMENTS]
    sets: dict[str, Iterable[str]] = {"all": first_names, "synonyms": INSTRUMENT_WORDS}
    instruments = _words(config.instruments, sets, INSTRUMENT_WORDS, "instrument word")
    pairs = [(emotion, instrument) for emotion in emotions for instrument in instruments]
    if not config.held_out:
        pairs = [pair for pair in pairs if not _never_seen(*pair)]
    if not pairs:
        raise UsageError(
            "no prompt is left: pretraining has seen none of these pairs of words",
            where="prompts",
            advice="Add words, or set prompts.held_out=true",
        )
    return [make_prompt(emotion, instrument) for emotion, instrument in pairs]


def _never_seen(emotion: str, instrument: str) -> bool:
    pair = (EMOTION_WORDS[emotion], INSTRUMENT_WORDS[instrument])
    return pair in HELD_OUT_PAIRS or held_out(emotion, instrument)


def _words(
    given: Sequence[str],
    sets: Mapping[str, Iterable[str]],
    known: Mapping[str, int],
    kind: str,
) -> list[str]:
    found: dict[str, None] = {}
    for word in given:
        if word not in sets and word not in known:
            raise unknown(kind, word, [*known, *sets], where="prompts")
        found |= dict.fromkeys(sets.get(word, [word]))
    return list(found)


def _from_file(config: PromptConfig) -> list[Prompt]:
    assert config.file is not None
    try:
        text = config.file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise UsageError(f"cannot read prompts: {reason}", where=config.file) from None
    lines = dict.fromkeys(line.strip() for line in text.splitlines() if line.strip())
    if not lines:
        raise UsageError(
            "there is no prompt in this file", where=config.file, advice="Write one a line"
        )
    return [understand(line) for line in lines]
