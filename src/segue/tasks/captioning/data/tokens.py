"""Captions into words, as spaCy's rules for English divide them, and cleaned before that.

The original's vocabulary was made with spaCy's English rule tokenizer and lower-cased afterwards.
The same division is done here in a page of rules, so that nothing but Python is needed. The rules:
a text is divided at white space; from both ends of each piece punctuation is taken off until a
known exception (`contractions`) or a word is left; a word is divided inside at a few signs, such as
hyphens between letters. How well both agree is told by `tests/golden/test_captioning_data.py` and
by the documentation of the task.
"""

from __future__ import annotations

import re
from functools import lru_cache

from segue.tasks.captioning.data.contractions import FACES, exceptions

__all__ = ["clean", "tokenize"]

# Letters with a case, Latin to Cyrillic. A letter of a script without cases is of both.
_LETTERS = [chr(code) for code in range(0x41, 0x530) if chr(code).isalpha()]
_UNCASED = "\u05d0-\u06ff\u0900-\u0fff\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7a3"
_LOWER = "".join(c for c in _LETTERS if not c.isupper()) + _UNCASED
_UPPER = "".join(c for c in _LETTERS if not c.islower()) + _UNCASED
_LETTER = "".join(_LETTERS) + _UNCASED

_DOTS = r"\.\.+|…"
_MARKS = r",:;!?¿؟¡()\[\]{}<>_#*&。？！，、；：～·।،۔؛٪…|"
_MARK = rf"……|[{_MARKS}]"
_QUOTE = "[\"'“”`‘´’‚„»«「」『』（）〔〕【】《》〈〉]|''|``"
_MONEY = r"US\$|C\$|A\$|[$£€¥฿₽﷼₴₠-₿]"
_SYMBOL = (
    "[\u00a6\u00a9\u00ae\u00b0\u0482\u2100-\u214f\u2190-\u21ff\u2300-\u2bff\U0001f000-\U0001faff]"
)
_HYPHEN = "---|--|——|[-–—~]"
_UNIT = (
    "km²|km³|km/h|kmh|km|dm²|dm³|dm|cm²|cm³|cm|mm²|mm³|mm|m²|m³|m/s|mph|mg|mbar|mb|m|ha|µm|nm|yd|"
    "in|ft|kg|g|µg|t|lb|oz|hPa|Pa|MB|kb|KB|gb|GB|tb|TB|T|G|M|K|%"
)

_PREFIX = re.compile(rf"[§%=—–]|\+(?![0-9])|{_DOTS}|{_MARK}|{_QUOTE}|{_MONEY}|{_SYMBOL}")
_SUFFIX = re.compile(
    rf"(?:{_DOTS}|{_MARK}|{_QUOTE}|{_SYMBOL}|'s|'S|’s|’S|[—–]|(?<=[0-9])\+|(?<=°[FfCcKk])\."
    rf"|(?<=[0-9])(?:{_MONEY})|(?<=[0-9])(?:{_UNIT})"
    rf"|(?<=[0-9%²\-+{_LOWER}{_MARKS}\"'“”`‘´’‚„»«])\.|(?<=[{_UPPER}][{_UPPER}])\.)\Z"
)
_INFIX = re.compile(
    rf"{_DOTS}|{_SYMBOL}|(?<=[0-9])[+\-*^](?=[0-9-])"
    rf"|(?<=[{_LOWER}\"'“”`‘´’‚„»«])\.(?=[{_UPPER}\"'“”`‘´’‚„»«])|(?<=[{_LETTER}]),(?=[{_LETTER}])"
    rf"|(?<=[{_LETTER}0-9])(?:{_HYPHEN})(?=[{_LETTER}])|(?<=[{_LETTER}0-9])[:<>=/](?=[{_LETTER}])"
)
_ADDRESS = re.compile(
    r"(?:[a-z][a-z0-9+.\-]*://)?(?:\S+@)?(?:[^\W_](?:[\w-]*[^\W_])?\.)+[a-z]{2,}(?::\d{2,5})?"
    r"(?:[/?#]\S*)?"
)

_SPACE = re.compile(r"\s+")
_STOP = re.compile(r"\.(?!\d)")


def clean(sentence: str) -> str:
    """Return a sentence as the original cleans it.

    Right curly apostrophes become straight, full stops that no digit follows go, and stretches of
    white space become one space.
    """
    straight = sentence.replace("’", "'")
    return _SPACE.sub(" ", _STOP.sub("", straight)).strip()


def tokenize(text: str) -> list[str]:
    """Return the words of a text, in lower case."""
    return [word.lower() for piece in text.split() for word in _divided(piece)]


@lru_cache(maxsize=1 << 16)
def _divided(piece: str) -> tuple[str, ...]:
    """Return the words of a piece without white space."""
    table = exceptions()
    before: list[str] = []
    after: list[str] = []
    # 1. take marks off both ends until an exception or a word without marks is left
    while piece and piece not in table:
        prefix = _PREFIX.match(piece)
        n_prefix = prefix.end() if prefix else 0
        if n_prefix and piece[n_prefix:] in table:
            before.append(piece[:n_prefix])
            piece = piece[n_prefix:]
            break
        suffix = _SUFFIX.search(piece, n_prefix)
        n_suffix = len(piece) - suffix.start() if suffix else 0
        if not n_prefix and not n_suffix:
            break
        if n_suffix and piece[:-n_suffix] in table:
            after.append(piece[-n_suffix:])
            piece = piece[:-n_suffix]
            break
        if n_prefix:
            before.append(piece[:n_prefix])
        if n_suffix:
            after.append(piece[-n_suffix:])
        piece = piece[n_prefix : len(piece) - n_suffix]
    # 2. divide what is left
    if piece in table:
        middle = list(table[piece])
    elif _ADDRESS.fullmatch(piece):
        middle = [piece]
    else:
        middle = _divided_inside(piece)
    return tuple(_with_faces([*before, *middle, *reversed(after)]))


def _with_faces(words: list[str]) -> list[str]:
    """Return the words with marks joined that are a face together."""
    for place in range(len(words) - 1):
        for n in (3, 2):
            if (joined := "".join(words[place : place + n])) in FACES and len(words) >= place + n:
                return [*words[:place], joined, *_with_faces(words[place + n :])]
    return words


def _divided_inside(piece: str) -> list[str]:
    words, begin = [], 0
    for sign in _INFIX.finditer(piece):
        if sign.start() > begin:
            words.append(piece[begin : sign.start()])
        words.append(sign.group())
        begin = sign.end()
    if begin < len(piece):
        words.append(piece[begin:])
    return words
