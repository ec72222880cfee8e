"""Words that are heard rather than seen, for features that are made from sentences.

The proxy of `two_annotators` divides a sentence between a "visual" and an "audio" half, so that
both modalities of a model have work to do. Heard are words of sound, speech and music, closed-class
words, and adverbs in -ly; everything else is seen. The lists are our own choice, without a source.
"""

from __future__ import annotations

__all__ = ["is_heard"]

_CLOSED = """
a an the this that these those another other others each every either neither both all any some
such no none one two three four five six several many more most much few first second third last
next i me my mine you your yours he him his himself she her hers herself it its itself we us our
they them their theirs themselves someone something everyone everything anyone anything who whom
whose which what where when why how while as if than then though although because since until
unless and or nor but so yet also too only just even still again once not n't 's 're 've 'll 'd 'm
be is are was were been being am do does did doing done have has had having can could will would
shall should may might must let to of in on at by for from with without within into onto out off
over under up down about above across after against along among around away back before behind
below beneath beside besides between beyond during inside near outside past through throughout
toward towards upon via per here there now later soon very quite
"""
_SOUND = """
audio sound sounds noise noises loud quiet silent music musical song songs tune melody rhythm beat
beats sing sings singing sang singer singers voice voices voiceover speak speaks speaking spoke
speaker speech talk talks talking talked say says saying said tell tells telling told explain
explains explaining describe describes describing discuss discusses discussing narrate narrates
narrator narration interview interviews interviewing interviewed announcer announce announces
commentator commentary host conversation chat ask asks asking answer call calls calling laugh
laughs laughing laughter cheer cheers cheering cheered clap claps clapping applaud applauds applause
yell yells yelling shout shouts shouting scream screams screaming cry crying bark barks whistle
guitar guitars drum drums drummer drumming piano violin saxophone flute harmonica accordion bagpipes
trumpet instrument instruments band concert orchestra musician musicians microphone mic listen
listens listening hear heard
"""
_HEARD = frozenset([*_CLOSED.split(), *_SOUND.split()])
_SEEN_THOUGH_LY = frozenset(["fly", "family", "jelly", "belly", "bully", "butterfly", "lily"])


def is_heard(word: str) -> bool:
    """Return whether a lower-case word belongs to the "audio" half."""
    adverb = len(word) > 4 and word.endswith("ly") and word not in _SEEN_THOUGH_LY
    return word in _HEARD or adverb
