"""Tokens of captions, by hand from the Treebank's rules."""

from __future__ import annotations

import pytest

from segue.tasks.captioning.metrics.tokenizer import PUNCTUATION, tokenize, tokenize_all


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", ""),
        (" \t\n ", ""),
        ("A man, in a hat; waves.", "a man in a hat waves"),
        ("The man's dog doesn't bark", "the man 's dog does n't bark"),
        ("The man\u2019s dog can\u2019t bark", "the man 's dog ca n't bark"),
        ("girls' night, she'll say: \u201cI've won\u201d", "girls night she 'll say i 've won"),
        ("He cannot stay, gonna leave", "he can not stay gon na leave"),
        ("a t-shirt (blue) and [one] {more}", "a t-shirt -lrb- blue -rrb- and -lsb- one -rsb- and"),
        ("3.5 million, 1,000 dogs, $5.00, 10% off", "3.5 million 1,000 dogs $ 5.00 10 % off"),
        ("the 1st at 10:30pm, 5th of 12/25/2010", "the 1st at 10:30 pm 5th of 12/25/2010"),
        ("6'2 tall in the '90s, the 1990's", "6 2 tall in the '90s the 1990 's"),
        ("finished,he sits...then runs\u2026 --- away", "finished he sits then runs away"),
        ("Mr. Smith etc. at 5 p.m. in the U.S.", "mr. smith etc. at 5 p.m. in the u.s."),
        ("we wash. In Wash. we wash", "we wash in wash. we wash"),
        ("Rock & roll at AT&T with q&a", "rock & roll at at&t with q & a"),
        ("what?! No!!! yes?", "what ?! no !!! yes"),
        ("see www.example.com, a@b.org or #fun", "see www.example.com a@b.org or #fun"),
        ("a <unk> man :) and/or <3", "a <unk> man :-rrb- and/or < 3"),
        ("pi\u00f1ata \u7537\u4eba \U0001f600 \u00bd cup", "pi\u00f1ata \u7537\u4eba 1/2 cup"),
        ("costs \u00a35 or \u20ac5", "costs # 5 or $ 5"),
    ],
)  # fmt: skip
def test_a_caption_is_divided(text: str, tokens: str) -> None:
    wanted = tokens.replace("-rsb- and", "-rsb- -lcb- more -rcb-").split()
    assert tokenize(text) == wanted
    assert tokenize(text) == wanted  # from memory now


def test_no_token_is_empty_has_space_or_is_punctuation() -> None:
    alphabet = ["a", "'", "s", ".", ",", "-", "n't", "(", "1", "&", "/", "\u2019", "!", "_", "<"]
    texts = ["".join(x + y + z) for x in alphabet for y in alphabet for z in alphabet]
    for tokens in tokenize_all(texts):
        for token in tokens:
            assert token
            assert token not in PUNCTUATION
            assert token == token.lower()
            assert not any(c.isspace() for c in token)


def test_letters_and_digits_are_kept() -> None:
    texts = ["can't've", "x.y.z", "it''s", "a1-b2/c3", "o'clock'n'roll", "ma'am."]
    for text in texts:
        kept = "".join(c for c in "".join(tokenize(text)) if c.isalnum())
        assert kept == "".join(c for c in text if c.isalnum())
