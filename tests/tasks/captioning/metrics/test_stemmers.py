"""Stems, from the worked examples of both published definitions."""

from __future__ import annotations

import pytest

from segue.tasks.captioning.metrics.stemmers import porter, snowball

PORTER = {
    "caresses": "caress", "ponies": "poni", "ties": "tie", "caress": "caress", "cats": "cat",
    "feed": "feed", "agreed": "agre", "plastered": "plaster", "bled": "bled", "motoring": "motor",
    "sing": "sing", "conflated": "conflat", "troubled": "troubl", "sized": "size",
    "hopping": "hop", "tanned": "tan", "falling": "fall", "hissing": "hiss", "fizzed": "fizz",
    "failing": "fail", "filing": "file", "happy": "happi", "sky": "sky", "relational": "relat",
    "conditional": "condit", "rational": "ration", "valenci": "valenc", "digitizer": "digit",
    "radically": "radic", "differently": "differ", "vietnamization": "vietnam",
    "operator": "oper", "feudalism": "feudal", "decisiveness": "decis", "hopefulness": "hope",
    "callousness": "callous", "formality": "formal", "sensitivity": "sensit",
    "triplicate": "triplic", "revival": "reviv", "formative": "form", "electrical": "electr",
    "goodness": "good", "allowance": "allow", "inference": "infer", "airliner": "airlin",
    "adjustable": "adjust",
    "replacement": "replac", "adoption": "adopt", "communism": "commun", "probate": "probat",
    "rate": "rate", "cease": "ceas", "controlling": "control", "roll": "roll", "dying": "die",
    "Enjoyed": "enjoy", "biology": "biolog", "a": "a", "by": "by",
}  # fmt: skip
SNOWBALL = {
    "consign": "consign", "consigned": "consign", "consistency": "consist", "knightly": "knight",
    "knots": "knot", "kneeling": "kneel", "generally": "general", "generate": "generat",
    "communism": "communism", "arsenic": "arsenic", "skis": "ski", "early": "earli",
    "news": "news", "proceed": "proceed", "gas": "gas", "gaps": "gap", "kiwis": "kiwi",
    "this": "this", "ties": "tie", "cries": "cri", "hopped": "hop", "hoped": "hope",
    "hoping": "hope", "luxuriated": "luxuri", "by": "by", "say": "say", "cry": "cri",
    "realization": "realiz", "rationally": "ration", "sensational": "sensat",
    "geologist": "geologist", "apology": "apolog", "hopefully": "hope", "dog's": "dog",
    "yellow": "yellow", "playing": "play",
    "conversely": "convers", "alternative": "altern", "rollers": "roller", "feed": "feed",
    "bowled": "bowl", "controll": "control", "'em": "em", "agreed": "agre", "rate": "rate",
}  # fmt: skip


@pytest.mark.parametrize(("word", "stem"), PORTER.items())
def test_porter(word: str, stem: str) -> None:
    assert porter(word) == stem


@pytest.mark.parametrize(("word", "stem"), SNOWBALL.items())
def test_snowball(word: str, stem: str) -> None:
    assert snowball(word) == stem


def test_any_text_has_a_stem() -> None:
    for word in ["", "'", "''s", "y", "yy", "ied", "eed", "ing", "\u7537\u4eba", "3.5", "ational"]:
        assert isinstance(porter(word), str)
        assert isinstance(snowball(word), str)
