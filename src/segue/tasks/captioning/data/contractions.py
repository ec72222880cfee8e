"""English words that are divided, or kept whole, against the general rules of `tokens`.

"don't" is "do" and "n't", "they'll've" three words, "dont" is "do" and "nt", "10am" is "10" and
"am", but "Mr.", "e.g." and ":-)" stay whole. The choice of words is that of spaCy's English
tokenizer (Honnibal & Montani, MIT), which the original's vocabulary was made with; the table here
is made from the grammar of contractions instead of being listed.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

__all__ = ["FACES", "exceptions"]

_WHOLE = (
    # titles, months, states, companies
    "Adm. Bros. Co. Corp. D.C. Dr. Gen. Gov. Inc. Jr. Ltd. Md. Messrs. Mo. Mont. Mr. Mrs. Ms. Mt. "
    "Ph.D. Prof. Rep. Rev. Sen. St. Jan. Feb. Mar. Apr. Jun. Jul. Aug. Sep. Sept. Oct. Nov. Dec. "
    "Ak. Ala. Ariz. Ark. Calif. Colo. Conn. Del. Fla. Ga. Ia. Id. Ill. Ind. Kan. Kans. Ky. La. "
    "Mass. Mich. Minn. Miss. N.C. N.D. N.H. N.J. N.M. N.Y. Neb. Nebr. Nev. Okla. Ore. Pa. S.C. "
    "Tenn. Va. Wash. Wis. E.G. E.g. I.E. I.e. a.m. p.m. co. e.g. i.e. v.s. vs. "
    # speech
    "'Cause 'cause 'Cos 'cos 'Coz 'coz 'Cuz 'cuz 'bout 'em 'nuff 'd 'll 're 's 'S ' '' "
    "ll em nuff Ma'am ma'am o'clock O'clock and/or w/o C++ <space> —"
)
_FACES = (
    ":) :-) :)) :-)) :( :-( :(( :D :-D =D ;) ;-) ;D :P :-P :p :-p :O :-O :o :-o :/ :-/ :| :-| :* "
    ":-* :3 :-3 :> :] :} :X :x :0 :1 =) =( =3 =/ =| =] =[ 8) 8-) 8D xD XD xDD XDD <3 <33 </3 (: "
    "(; (= (-: (-; ): )-: ^_^ ^__^ -_- -__- o_o O_O o_O O_o o.o O.O o.O O.o 0_0 0.0 @_@ ._. V_V "
    "v_v :') :'( :'-) :'-( :((( :))) ;_; >.< >_< <.< >.> >:( [: [= ]= 8-D :-] :-} :-> :-0 :o)"
)
_SINGLE = "abcdefghijklmnopqrstuvwxyzäöü"
_DROPPED_G = "doin goin havin lovin nothin nuthin somethin ol"

# who or what -> the endings that it takes
_ENDINGS = {
    "i": "m ma ll ll-ve d d-ve ve",
    "you": "ll ll-ve d d-ve ve re",
    "he": "ll ll-ve d d-ve s",
    "she": "ll ll-ve d d-ve s",
    "it": "ll ll-ve d d-ve s",
    "we": "ll ll-ve d d-ve ve re",
    "they": "ll ll-ve d d-ve ve re",
    "who": "s ll ll-ve d d-ve ve re",
    "what": "s ll ll-ve d d-ve ve re",
    "when": "s ll ll-ve d d-ve ve re",
    "where": "s ll ll-ve d d-ve ve re",
    "why": "s ll ll-ve d d-ve ve re",
    "how": "s ll ll-ve d d-ve ve re",
    "there": "s ll ll-ve d d-ve ve re",
    "these": "ll ll-ve d d-ve ve re",
    "those": "ll ll-ve d d-ve ve re",
    "that": "s ll ll-ve d d-ve",
    "this": "s ll ll-ve d d-ve",
    "not": "ve",
    "could": "ve",
    "might": "ve",
    "must": "ve",
    "should": "ve",
    "would": "ve",
}
_NEGATED = "ca could do does did had may might must need ought sha should wo would"
"""Take n't, and 've after it."""
_NEGATED_ONLY = "ai are is was were have has dare"
_OTHERS = (
    ("can", "not"),
    ("gon", "na"),
    ("got", "ta"),
    ("c'm", "on"),
    ("let", "'s"),
    ("how", "'d", "'y"),
)
_WORDS_OF_THEIR_OWN = "ill its hell shell shed were well whore"
"""Without an apostrophe these are other words."""


FACES = frozenset(_FACES.split())
"""Marks that are one word wherever they stand together."""


@lru_cache(maxsize=1)
def exceptions() -> dict[str, tuple[str, ...]]:
    """Return the spelling -> its words, for every case and apostrophe that occurs."""
    table: dict[str, tuple[str, ...]] = {}
    for whole in (*_WHOLE.split(), *FACES):
        table[whole] = (whole,)
    table |= {f"{letter}.": (f"{letter}.",) for letter in _SINGLE}
    for word in _DROPPED_G.split():
        for start in (word, word.capitalize()):
            for end in ("", "'", "’"):
                table[start + end] = (start + end,)
    for hour in range(1, 13):
        for half in ("am", "pm", "a.m.", "p.m."):
            table[f"{hour}{half}"] = (str(hour), half)
    for parts in _contracted():
        for spelled in _cased(parts):
            table["".join(spelled)] = spelled
            plain = _with(spelled, "")
            if "".join(plain).lower() not in _WORDS_OF_THEIR_OWN.split():
                table["".join(plain)] = plain
    for parts in _OTHERS:
        for spelled in _cased(parts):
            table["".join(spelled)] = spelled
    table |= {"y'all": ("y'", "all"), "yall": ("y", "all")}
    return table | {whole.replace("'", "’"): _with(words, "’") for whole, words in table.items()}


def _with(parts: tuple[str, ...], apostrophe: str) -> tuple[str, ...]:
    return tuple(part.replace("'", apostrophe) for part in parts)


def _contracted() -> Iterator[tuple[str, ...]]:
    for stem, endings in _ENDINGS.items():
        for ending in endings.split():
            if ending == "ma":
                yield (stem, "'m", "a")
            else:
                yield (stem, *(f"'{part}" for part in ending.split("-")))
    for stem in _NEGATED.split():
        yield (stem, "n't")
        yield (stem, "n't", "'ve")
    for stem in _NEGATED_ONLY.split():
        yield (stem, "n't")


def _cased(parts: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    yield parts
    yield (parts[0].capitalize(), *parts[1:])
