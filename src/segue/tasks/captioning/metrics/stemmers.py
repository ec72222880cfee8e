"""Two stemmers of English: Snowball's, which METEOR 1.5 uses, and Porter's in the form of NLTK.

METEOR counts two words of one stem as a match. Which words share a stem decides scores, so each
stemmer follows its definition to the letter: M. F. Porter, "An algorithm for suffix stripping",
Program 14(3), 1980, with NLTK's departures (three more irregular words, `ied`, `bli`, `fulli`,
`logi`, two-letter stems count as short); and Porter's revision of 2001, "The English (Porter2)
stemming algorithm" on snowballstem.org, in the edition before 2024.

Words: `v` a vowel, `c` a consonant; `R1` is what follows the first consonant after a vowel, `R2` is
R1 of R1; the measure of a stem is the number of its `vc` groups.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise

__all__ = ["porter", "snowball"]

_VOWELS = frozenset("aeiouy")
_DOUBLES = ("bb", "dd", "ff", "gg", "mm", "nn", "pp", "rr", "tt")


# --- Snowball -------------------------------------------------------------------------------------

_SNOWBALL_FIXED = {
    "skis": "ski", "skies": "sky", "dying": "die", "lying": "lie", "tying": "tie", "idly": "idl",
    "gently": "gentl", "ugly": "ugli", "early": "earli", "only": "onli", "singly": "singl",
    "sky": "sky", "news": "news", "howe": "howe", "atlas": "atlas", "cosmos": "cosmos",
    "bias": "bias", "andes": "andes",
}  # fmt: skip
_SNOWBALL_DONE = frozenset(
    ("inning", "outing", "canning", "herring", "earring", "proceed", "exceed", "succeed")
)
_SNOWBALL_2 = {
    "ization": "ize", "ational": "ate", "fulness": "ful", "ousness": "ous", "iveness": "ive",
    "tional": "tion", "biliti": "ble", "lessli": "less", "entli": "ent", "ation": "ate",
    "alism": "al", "aliti": "al", "ousli": "ous", "iviti": "ive", "fulli": "ful", "enci": "ence",
    "anci": "ance", "abli": "able", "izer": "ize", "ator": "ate", "alli": "al", "bli": "ble",
    "ogi": "og", "li": "",
}  # fmt: skip
_SNOWBALL_3 = {
    "ational": "ate", "tional": "tion", "alize": "al", "icate": "ic", "iciti": "ic", "ative": "",
    "ical": "ic", "ness": "", "ful": "",
}  # fmt: skip
_SNOWBALL_4 = (
    "ement", "ance", "ence", "able", "ible", "ment", "ant", "ent", "ism", "ate", "iti", "ous",
    "ive", "ize", "ion", "al", "er", "ic",
)  # fmt: skip


@lru_cache(maxsize=65536)
def snowball(word: str) -> str:
    """Return the stem of a lower-case word by Snowball's English stemmer."""
    if len(word) <= 2:
        return word
    if word in _SNOWBALL_FIXED:
        return _SNOWBALL_FIXED[word]
    word = _mark_consonant_y(word.removeprefix("'"))
    r1 = _first_region(word)
    r2 = _region(word, r1)
    word = _clitic_and_plural(word)
    if word in _SNOWBALL_DONE:
        return word
    word = _past_and_participle(word, r1)
    if len(word) > 2 and word[-1] in "yY" and word[-2] not in _VOWELS:
        word = word[:-1] + "i"
    for table, step in ((_SNOWBALL_2, 2), (_SNOWBALL_3, 3)):
        word = _derivation(word, table, step, r1, r2)
    ending = next((e for e in _SNOWBALL_4 if word.endswith(e)), "")
    at = len(word) - len(ending)
    if ending and at >= r2 and (ending != "ion" or word[:at].endswith(("s", "t"))):
        word = word[:at]
    last = len(word) - 1
    if word.endswith("e"):
        if last >= r2 or (last >= r1 and not _ends_in_short_syllable(word[:-1])):
            word = word[:-1]
    elif word.endswith("ll") and last >= r2:
        word = word[:-1]
    return word.replace("Y", "y")


def _mark_consonant_y(word: str) -> str:
    """Write a consonant y as Y: at the beginning, and after a vowel."""
    letters = list(word)
    for i, letter in enumerate(letters):
        if letter == "y" and (i == 0 or letters[i - 1] in _VOWELS):
            letters[i] = "Y"
    return "".join(letters)


def _first_region(word: str) -> int:
    for prefix in ("gener", "commun", "arsen"):
        if word.startswith(prefix):
            return len(prefix)
    return _region(word, 0)


def _region(word: str, start: int) -> int:
    for i in range(start + 1, len(word)):
        if word[i] not in _VOWELS and word[i - 1] in _VOWELS:
            return i + 1
    return len(word)


def _ends_in_short_syllable(word: str) -> bool:
    if len(word) == 2:
        return word[0] in _VOWELS and word[1] not in _VOWELS
    if len(word) < 3:
        return False
    return word[-3] not in _VOWELS and word[-2] in _VOWELS and word[-1] not in "aeiouywxY"


def _clitic_and_plural(word: str) -> str:
    for ending in ("'s'", "'s", "'"):
        if word.endswith(ending):
            word = word[: -len(ending)]
            break
    if word.endswith("sses"):
        return word[:-2]
    if word.endswith(("ied", "ies")):
        return word[:-2] if len(word) > 4 else word[:-1]
    if word.endswith("s") and not word.endswith(("us", "ss")):
        return word[:-1] if any(letter in _VOWELS for letter in word[:-2]) else word
    return word


def _past_and_participle(word: str, r1: int) -> str:
    for ending in ("eedly", "ingly", "edly", "eed", "ing", "ed"):
        if not word.endswith(ending):
            continue
        stem = word[: -len(ending)]
        if ending.startswith("eed"):
            return stem + "ee" if len(stem) >= r1 else word
        if not any(letter in _VOWELS for letter in stem):
            return word
        if stem.endswith(("at", "bl", "iz")):
            return stem + "e"
        if stem.endswith(_DOUBLES):
            return stem[:-1]
        # A short word: it ends in a short syllable and has an empty R1.
        return stem + "e" if r1 >= len(stem) and _ends_in_short_syllable(stem) else stem
    return word


def _derivation(word: str, table: dict[str, str], step: int, r1: int, r2: int) -> str:
    ending = next((e for e in table if word.endswith(e)), None)
    if ending is None:
        return word
    stem = word[: -len(ending)]
    allowed = len(stem) >= r1
    if ending == "ogi":
        allowed = allowed and stem.endswith("l")
    elif ending == "li":
        allowed = allowed and stem.endswith(tuple("cdeghkmnrt"))
    elif ending == "ative" and step == 3:
        allowed = allowed and len(stem) >= r2
    return stem + table[ending] if allowed else word


# --- Porter, as in NLTK ---------------------------------------------------------------------------

_PORTER_FIXED = {
    "sky": "sky", "skies": "sky", "dying": "die", "lying": "lie", "tying": "tie", "news": "news",
    "innings": "inning", "inning": "inning", "outings": "outing", "outing": "outing",
    "cannings": "canning", "canning": "canning", "howe": "howe", "proceed": "proceed",
    "exceed": "exceed", "succeed": "succeed",
}  # fmt: skip
_PORTER_2 = {
    "ational": "ate", "tional": "tion", "enci": "ence", "anci": "ance", "izer": "ize", "bli": "ble",
    "alli": "al", "entli": "ent", "eli": "e", "ousli": "ous", "ization": "ize", "ation": "ate",
    "ator": "ate", "alism": "al", "iveness": "ive", "fulness": "ful", "ousness": "ous",
    "aliti": "al", "iviti": "ive", "biliti": "ble", "fulli": "ful", "logi": "log",
}  # fmt: skip
_PORTER_3 = {
    "icate": "ic", "ative": "", "alize": "al", "iciti": "ic", "ical": "ic", "ful": "", "ness": "",
}  # fmt: skip
_PORTER_4 = (
    "al", "ance", "ence", "er", "ic", "able", "ible", "ant", "ement", "ment", "ent", "ion", "ou",
    "ism", "ate", "iti", "ous", "ive", "ize",
)  # fmt: skip


@lru_cache(maxsize=65536)
def porter(word: str) -> str:
    """Return the stem of a word by Porter's stemmer with NLTK's departures."""
    word = word.lower()
    if word in _PORTER_FIXED:
        return _PORTER_FIXED[word]
    if len(word) <= 2:
        return word
    word = _porter_plural(word)
    word = _porter_past(word)
    if word.endswith("y") and len(word) > 2 and _consonant(word, len(word) - 2):
        word = word[:-1] + "i"
    word = _porter_derivation(word)
    word = _replaced(word, _PORTER_3, lambda stem, _: _measure(stem) > 0)
    word = _replaced(
        word,
        dict.fromkeys(_PORTER_4, ""),
        lambda stem, ending: _measure(stem) > 1 and (ending != "ion" or stem[-1:] in ("s", "t")),
    )
    if word.endswith("e"):
        stem = word[:-1]
        measure = _measure(stem)
        if measure > 1 or (measure == 1 and not _short(stem)):
            word = stem
    if word.endswith("ll") and _measure(word[:-1]) > 1:
        word = word[:-1]
    return word


def _porter_plural(word: str) -> str:
    if word.endswith("ies"):
        return word[:-1] if len(word) == 4 else word[:-2]
    if word.endswith("sses"):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word


def _porter_past(word: str) -> str:
    if word.endswith("ied"):
        return word[:-1] if len(word) == 4 else word[:-2]
    if word.endswith("eed"):
        return word[:-1] if _measure(word[:-3]) > 0 else word
    stem = word[:-2] if word.endswith("ed") else word[:-3] if word.endswith("ing") else ""
    if not any(not _consonant(stem, i) for i in range(len(stem))):
        return word
    if stem.endswith(("at", "bl", "iz")):
        return stem + "e"
    if len(stem) > 1 and stem[-1] == stem[-2] and _consonant(stem, len(stem) - 1):
        return stem if stem[-1] in "lsz" else stem[:-1]
    return stem + "e" if _measure(stem) == 1 and _short(stem) else stem


def _porter_derivation(word: str) -> str:
    if word.endswith("alli") and _measure(word[:-4]) > 0:
        return _porter_derivation(word[:-4] + "al")
    return _replaced(
        word,
        _PORTER_2,
        lambda stem, ending: _measure(stem + "l" if ending == "logi" else stem) > 0,
    )


def _replaced(word: str, table: dict[str, str], allowed: Callable[[str, str], bool]) -> str:
    """Replace the longest ending of `word` that is in the table, where that is allowed."""
    endings = [ending for ending in table if word.endswith(ending)]
    if not endings:
        return word
    ending = max(endings, key=len)
    stem = word[: -len(ending)]
    return stem + table[ending] if allowed(stem, ending) else word


def _consonant(word: str, i: int) -> bool:
    if word[i] == "y":
        return i == 0 or not _consonant(word, i - 1)
    return word[i] not in _VOWELS


def _measure(stem: str) -> int:
    kinds = [_consonant(stem, i) for i in range(len(stem))]
    return sum(b and not a for a, b in pairwise(kinds))


def _short(word: str) -> bool:
    """Tell whether the word ends consonant-vowel-consonant, the last not w, x or y."""
    kinds = [_consonant(word, i) for i in range(max(0, len(word) - 3), len(word))]
    if len(word) == 2:
        return kinds == [False, True]
    return kinds == [True, False, True] and word[-1] not in "wxy"
