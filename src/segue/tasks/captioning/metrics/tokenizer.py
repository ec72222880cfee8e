"""Words of a caption as the captioning metrics count them.

BLEU, ROUGE-L, CIDEr and METEOR are defined on tokens of the Penn Treebank kind: clitics stand alone
("man 's", "does n't"), numbers, dates, abbreviations and hyphenated words stay whole, brackets have
names ("-lrb-"), quotation marks and most punctuation are dropped, everything is lower case. The
published figures were made with the PTBTokenizer of Stanford CoreNLP 3.4.1 in front of the metrics;
this module follows its behaviour on captions without Java. A token never spans white space here
(there, a telephone number or "7 1/2" may become one token).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["PUNCTUATION", "tokenize", "tokenize_all"]

PUNCTUATION = frozenset(
    """'' ' `` ` -LRB- -RRB- -LCB- -RCB- . ? ! , : - -- ... ;""".split()  # noqa: SIM905
)
"""Tokens that are dropped. The bracket names are compared after lower-casing and so stay in."""


def tokenize(text: str) -> list[str]:
    """Return the tokens of one caption, lower case, without punctuation.

    Args:
        text: a caption as written by people or a model.
    """
    tokens: list[str] = []
    for chunk in text.split():
        found = _known.get(chunk)
        if found is None:
            found = _split(chunk)
            if len(_known) < _MOST_KNOWN:
                _known[chunk] = found
        tokens += found
    return tokens


def tokenize_all(texts: Iterable[str]) -> list[list[str]]:
    """Return the tokens of every caption."""
    return [tokenize(text) for text in texts]


_MOST_KNOWN = 200_000  # a text has few different chunks; this bounds the memory at about 30 MB
_known: dict[str, tuple[str, ...]] = {}

_NAMES = {
    "(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-",
    "£": "#", "€": "$", "¢": "cents", "½": "1/2", "¼": "1/4", "¾": "3/4", "⅓": "1/3", "⅔": "2/3",
    "…": "...", "‘": "'", "’": "'", "“": "''", "”": "''", '"': "''",
}  # fmt: skip
_ENTITIES = {"&amp;": "&", "&lt;": "<", "&gt;": ">", "&quot;": "''", "&apos;": "'"}

# Abbreviations keep their full stop: some always, some with a capital, some before a number.
_ALWAYS = """
adm al ala alex apr ariz assn assoc asst atty aug ave bancorp bhd bldg blvd brig bros calif capt cf
cmdr co col colo comdr conn corp cos cpl ct dak dec dept det dr drs esq est etc ext feb fla fri ft
ga gen gov hon inc ind intl jan jr jul jun kan kans ky lieut lt ltd maj mar md messrs mfg mich minn
mo mon mont mr mrs ms mt natl neb nev nov oct okla penn pfc plc pres prof pte ptes pty pvt rd rep
reps rev rt sen sep sept seq sgt spc sq sr st ste supt sys tel tenn thu thurs tue tues univ va vs vt
wed wis wisc wyo""".split()  # noqa: SIM905  they read as a list of words
_WITH_CAPITAL = ("Ark", "Az", "Del", "Ill", "La", "Mass", "Miss", "Ore", "Pa", "Tex", "Wash")
_BEFORE_NUMBER = ("art", "ca", "fig", "figs", "no", "nos", "op", "pp", "prop")

_GRAMMAR = r"""
  (?P<markup> </?[a-z!?][^<>]*> | &(?:amp|lt|gt|quot|apos); )
| (?P<address> https?://[^\s"<>|()]*[^\W_]/? | www\.[\w.-]*[^\W_](?:/[^\s"<>|()]*[^\W_]/?)?
  | (?:[\w-]+\.)+(?:com|net|org|edu)/[^\s"<>|()]*[^\W_]/?
  | [^\W_][\w.-]*@[^\W_](?:[\w-]|\.(?=\w))* | @LETTER\w* | \#LETTER+ )
| (?P<joined> (?<!\w)(?:can(?=not END) | (?:gon|wan)(?=na END) | got(?=ta END)
  | (?:gim|lem)(?=me END) | QUOTE t(?=(?:is|was) END)) )
| (?P<clitic> QUOTE{2} | n QUOTE t LETTER* | QUOTE n QUOTE | QUOTE(?:s|m|d|re|ve|ll|n) END
  | (?<!\w)y QUOTE | QUOTE(?:em|til) | QUOTE\d\d(?:s END | END) (?!["-]|QUOTE s) )
| (?P<acronym> (?<!\w)(?:LETTER(?:\.LETTER)+ END \.? | (?:ph|ed)\.d END \.?) )
| (?P<abbreviation> (?<!\w)(?:LETTER | ALWAYS | (?-i:CAPITAL) | (?:NUMBERED)\.(?=\d)
  | LETTER+\.(?=[,;:])) (?:(?<=\.)|\.(?!\.)) )
| (?P<number> \d+[:.,]\d+(?=LETTER) | (?<!\w)[+-]?\d+(?:[.,:/-]\d+)+(?:WORD)?(?:[-_]\w+)*
  | \d+WORD(?:[-_]\w+|/LETTER+)* | \d+-LETTER\w*(?:-\w+)* | [.,:]\d+(?:[.,:/-]\d+)*
  | (?<!\w)[+-]?\d+ | \d+ )
| (?P<word> LETTER\+\+ END | (?-i:[A-Z]+(?:&[A-Z]+)+) | (?<!\w)(?:us|a|c|hk|nz)\$
  | LETTER+[!?]LETTER+ | LETTER*[aeiou]QUOTE[aeiou]LETTER*
  | (?:[dlno]QUOTE(?=LETTER{2}))? LETTER (?: (?!n QUOTE t)
    (?: LETTER | \d | \u00ad | [\u0300-\u036f] | _(?=[^\W_]) | -(?=[^\W_]) | [/.](?=LETTER) ) )* )
| (?P<smiley> [:;=]-?[()dp](?!\w) | [:;=]-?[()] | \^_\^ )
| \.\.\.|… | (?P<dash> -{2,} | [\u2012-\u2015]) | [!?]+ | _+ | \*+ | \S
"""
_PARTS = {
    "QUOTE": "['\u2018\u2019]",
    "END": r"(?![^\W_])",
    "ALWAYS": "|".join(_ALWAYS),
    "CAPITAL": "|".join([*_WITH_CAPITAL, *map(str.upper, _WITH_CAPITAL)]),
    "NUMBERED": "|".join(_BEFORE_NUMBER),
    "WORD": "[^\\W\\d_½¼¾⅓⅔][^\\W_]*",
    "LETTER": "[^\\W\\d_½¼¾⅓⅔]",
}
_GRAMMAR = re.sub("|".join(_PARTS), lambda found: _PARTS[found.group()], _GRAMMAR)
_TOKEN = re.compile(_GRAMMAR, re.IGNORECASE | re.VERBOSE)
# Symbols that the reference leaves out although they are neither letters nor punctuation.
_DROPPED = re.compile("[\U0001f000-\U0010ffff\u200b\u20e3\ufe0f]")


def _split(chunk: str) -> tuple[str, ...]:
    tokens = []
    for match in _TOKEN.finditer(_DROPPED.sub(" ", chunk)):
        token, kind = match.group().lower(), match.lastgroup
        if kind == "dash":
            continue
        if kind == "markup":
            token = _ENTITIES.get(token, token)
        elif kind == "smiley":
            token = token.replace("(", "-lrb-").replace(")", "-rrb-")
        elif kind is None:
            token = _NAMES.get(token, token)
        else:
            token = token.replace("\u2019", "'").replace("\u2018", "'").replace("\u00ad", "")
        if token not in PUNCTUATION:
            tokens.append(token)
    return tuple(tokens)
