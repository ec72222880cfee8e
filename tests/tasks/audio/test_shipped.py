"""What comes with the package: small, whole, and able to play."""

import torch

from segue.core.files import read_json
from segue.tasks.audio.players import (
    SHIPPED,
    default_player,
    open_listeners,
    open_player,
    shipped_folder,
)
from segue.tasks.audio.playing import play, sampling_of

PROMPTS = [
    f"a recording of a {mood} {instrument} solo, high quality"
    for mood in ("happy", "sad")
    for instrument in ("piano", "organ", "flute")
]


def test_it_is_small_and_says_whose_it_is():
    files = [path for path in shipped_folder().rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 12e6
    for path in files:
        if path.suffix == ".json":
            assert "GPL-2.0" in read_json(path)["licence"]


def test_the_tuned_model_plays_what_it_is_asked_for():
    """By the judge: of these 24 clips the tuning has the mood right in 17, the base in 9."""
    assert default_player() == SHIPPED[1]
    player, judge = open_player(SHIPPED[1]), open_listeners(SHIPPED[0]).judge
    prompts = [prompt for prompt in PROMPTS for _ in range(4)]
    with torch.inference_mode():
        sound = play(player.denoiser, prompts, range(24), 5.12, sampling_of(player))
        found = judge.probabilities(sound)
    mood = torch.tensor([0 if "happy" in prompt else 2 for prompt in prompts])
    assert (found["mood"].argmax(1) == mood).sum() > 12
