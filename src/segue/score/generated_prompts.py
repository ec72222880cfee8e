"""From the mood of a segment, and its caption where there is one, to a prompt for a model of music.

- *mood*: the quadrant of wanted valence - tension / 2 and arousal + .4 pace, the same readings as
  in composing; its plain name is what models of `segue audio` know best.
- *instrument*: of those that suit the mood, by brightness from dark to bright.
- *caption*: a word of it for an emotion or an instrument goes before what the picture suggests. A
  model that reads any text gets the caption itself, too; the nano model knows only the words that
  it was trained with.
"""

from __future__ import annotations

from collections.abc import Sequence

from segue.media.embed.music_axes import AXES
from segue.tasks.audio.vocabulary import INSTRUMENTS, MOODS, make_prompt, understand

__all__ = ["INSTRUMENTS_OF", "prompts_for", "quadrant_of"]

INSTRUMENTS_OF: dict[str, dict[str, tuple[str, ...]]] = {
    "happy": {
        "dark": ("clarinet", "piano"),
        "plain": ("piano", "guitar"),
        "bright": ("marimba", "flute"),
    },
    "angry": {
        "dark": ("organ", "cello"),
        "plain": ("violin", "piano"),
        "bright": ("trumpet", "violin"),
    },
    "sad": {
        "dark": ("cello", "clarinet"),
        "plain": ("piano", "violin"),
        "bright": ("violin", "flute"),
    },
    "tender": {
        "dark": ("cello", "clarinet"),
        "plain": ("guitar", "piano"),
        "bright": ("flute", "marimba"),
    },
}
"""Mood -> colour -> names of instruments, the first choice first (own choice)."""

_DARK, _BRIGHT = -0.5, 0.6
_CAPTION_WORDS = 40
"""Words of a caption that are passed on: text encoders cut long prompts."""


def quadrant_of(axes: Sequence[float]) -> int:
    """Return the mood, an index into `MOODS`, of the five axes of wanted music."""
    a = dict(zip(AXES, map(float, axes), strict=True))
    light = a["valence"] - a["tension"] / 2 >= 0
    strong = a["arousal"] + 0.4 * a["pace"] >= 0
    return {(True, True): 0, (False, True): 1, (False, False): 2, (True, False): 3}[light, strong]


def prompts_for(
    axes: Sequence[float],
    caption: str = "",
    *,
    instrument: str | None = None,
    reads_any_text: bool = False,
) -> list[str]:
    """Return prompts for a segment, one for each instrument that suits it, the best first.

    Args:
        axes: [5] arousal, valence, tension, pace, brightness of the wanted music.
        caption: what happens in the segment; empty for nothing.
        instrument: taken whatever the mood and the caption say.
        reads_any_text: whether the model understands the caption itself.
    """
    said = understand(caption)
    mood = MOODS[quadrant_of(axes) if said.mood is None else said.mood]
    brightness = float(axes[AXES.index("brightness")])
    colour = "dark" if brightness < _DARK else "bright" if brightness > _BRIGHT else "plain"
    names = INSTRUMENTS_OF[mood][colour]
    if instrument is not None:
        names = (instrument,)
    elif said.instrument is not None:
        names = (INSTRUMENTS[said.instrument].name,)
    texts = [make_prompt(mood, name).text for name in names]
    if reads_any_text and caption:
        scene = " ".join(caption.split()[:_CAPTION_WORDS])
        texts = [f"{text}, for a scene of a film: {scene}" for text in texts]
    return texts
