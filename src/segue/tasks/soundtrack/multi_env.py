"""The older form of the environment: an action is a track and a flag "continue instead".

`MultiSoundtrackEnv` is the full environment with that action. `ReferenceMultiEnv` is the original's
environment of this form, which rewards the captions alone and has rules of its own.
Times in seconds; `T` segments, `K` tracks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.error import ResetNeeded
from numpy.typing import NDArray

from segue.core.errors import UsageError
from segue.tasks.soundtrack.config import SoundtrackConfig
from segue.tasks.soundtrack.data import Dataset
from segue.tasks.soundtrack.env import SoundtrackEnv
from segue.tasks.soundtrack.observation import ReferenceObservation, Situation
from segue.tasks.soundtrack.similarity import cosines, hand_overs

__all__ = ["MultiSoundtrackEnv", "ReferenceMultiEnv", "make_multi"]

_NO_USE = np.zeros((2, 0), dtype=np.float32)


class MultiSoundtrackEnv(SoundtrackEnv):
    """The soundtrack environment with actions [track, continue].

    ## Action Space
    `MultiDiscrete([K, 2])`. Flag 1 continues the current track where that is allowed and starts
    the given track where it is not; so every action is allowed unless tracks are forbidden.

    Everything else is as in `SoundtrackEnv`.
    """

    def __init__(
        self, dataset: Dataset, config: SoundtrackConfig | None = None, **rest: Any
    ) -> None:
        super().__init__(dataset, config, **rest)
        self.action_space = spaces.MultiDiscrete([self.n_tracks, 2])

    def step(self, action: Any) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Make the decision [track, continue] for the current segment."""
        track, flag = (int(part) for part in action)
        goes_on = flag == 1 and bool(super().action_masks()[-1])
        return super().step(self.n_tracks if goes_on else track)

    def action_masks(self) -> NDArray[np.bool_]:
        """Return which tracks and which flags are allowed, [K + 2], in MaskablePPO's form."""
        mask = super().action_masks()
        return np.concatenate([mask[:-1], [True], mask[-1:]])


class ReferenceMultiEnv(gymnasium.Env[dict[str, Any], Any]):
    """The original's first environment: follow the captions.

    ## Description
    As `SoundtrackEnv`, with another action, reward and set of rules.

    ## Action Space
    `MultiDiscrete([K, 2])`: track, continue flag. Nothing is masked.

    ## Observation Space
    `Dict` of `video_embedding` and `last_music_embedding`, not normalised.

    ## Rewards
    w_alignment * cos(segment caption, track description) + same track + illegal. Continuing
    without a track, or past its end, costs -0.5 and is judged as starting the given track, but the
    clock does not move. Starting a track shorter than the segment costs -1. Starting the track
    that plays costs -0.5, and -0.5 for each earlier start of it.

    ## Starting State
    No track plays; the video is drawn at random. As in the original, every reset without a seed
    re-seeds the generator from the system, and the option `video_idx` is ignored.

    ## Episode End
    Terminates after the last segment, and at the start of a track shorter than its segment.

    ## Arguments
    `dataset`, which must have captions; `config` (weights); `videos`; `render_mode`, None only.
    """

    metadata = {"render_modes": []}  # noqa: RUF012  as Gymnasium types it

    def __init__(
        self,
        dataset: Dataset,
        config: SoundtrackConfig | None = None,
        *,
        videos: Sequence[int] | None = None,
        render_mode: str | None = None,
    ) -> None:
        texts = dataset.track_text_embeddings
        if texts is None:
            raise UsageError(
                "the environment MultiDiscrete of profile 'reference' rewards captions, "
                "and this dataset has none",
                advice="Use environment Discrete, or add caption vectors",
            )
        self.dataset, self.config = dataset, config or SoundtrackConfig.preset("reference")
        self.render_mode = render_mode
        self.videos = list(range(len(dataset.videos)) if videos is None else videos)
        self.n_tracks = len(dataset.tracks)
        self._texts = texts
        self._durations: list[float] = dataset.durations_s.tolist()
        tables = hand_overs(dataset)
        mfccs = np.array([track.mfcc for track in dataset.tracks])
        # One row at a time: K x K x 13 differences at once would not fit for large libraries.
        mfcc = [-np.linalg.norm(mfccs - row, axis=1) / 300.0 for row in mfccs]
        self._between = {
            "aa_captions_reward": tables.caption,
            "aa_bpm_diff_penalty": tables.tempo,
            "aa_energy_diff_penalty": tables.energy,
            "aa_spectral_diff_penalty": tables.spectral,
            "aa_mfcc_diff_penalty": np.array(mfcc),
        }
        self._observer = ReferenceObservation(dataset)
        vector = self._observer.space["video_embedding"]
        self.observation_space = spaces.Dict(
            {"video_embedding": vector, "last_music_embedding": vector}
        )
        self.action_space: spaces.Space[Any] = spaces.MultiDiscrete([self.n_tracks, 2])
        self.now = Situation()
        self.track = -1
        """Track that the last step was scored with."""
        self.offset_s = 0.0
        """Position in it at which the last step's segment starts."""
        self._alignment: NDArray[np.float64] = np.zeros((0, self.n_tracks))
        self._lengths: list[float] = []
        self._name = ""
        self._starts: list[int] = []
        self._playing = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Begin an episode; options are ignored, as in the original."""
        super().reset(seed=seed)
        if seed is None:
            self._np_random, self._np_random_seed = gymnasium.utils.seeding.np_random()
        index = self.videos[int(self.np_random.integers(len(self.videos)))]
        video = self.dataset.videos[index]
        captions = video.text_embeddings
        assert captions is not None
        self._alignment = cosines(captions, self._texts)
        self._lengths = video.lengths_s.tolist()
        self._name = video.name
        self.now = Situation(video=index)
        self._starts = [0] * self.n_tracks
        self._playing = True
        self._observer.begin(index, video)
        return self._observe(), {}

    def step(self, action: Any) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Make the decision [track, continue] for the current segment.

        Raises:
            ResetNeeded: no episode is running.
            UsageError: the action is outside the action space.
        """
        if not self._playing:
            raise ResetNeeded("call reset() before step()")
        chosen, flag = (int(part) for part in action)
        if not (0 <= chosen < self.n_tracks and flag in (0, 1)):
            raise UsageError(f"action [{chosen}, {flag}] is outside [0..{self.n_tracks - 1}, 0..1]")
        now = self.now
        segment, previous = now.segment, now.track
        length = self._lengths[segment]
        illegal = same = goes_on = 0.0
        failed = False
        self.track, self.offset_s = chosen, 0.0
        if flag:
            if previous < 0 or now.elapsed_s + length > self._durations[previous]:
                illegal = -0.5
                self._starts[chosen] += 1
            else:
                goes_on = -0.5
                self.track, self.offset_s = previous, now.elapsed_s
                now.elapsed_s += length
        elif self._durations[chosen] < length:
            illegal, failed = -1.0, True
        else:
            same = -0.5 * ((chosen == previous) + self._starts[chosen])
            self._starts[chosen] += 1
            now.elapsed_s = length

        track = self.track
        captions = float(self._alignment[segment, track])
        reward = self.config.weights.alignment * captions + same + illegal
        info: dict[str, Any] = {
            "video_filename": self._name,
            "va_imagebind_reward": 1.0,
            "va_captions_reward": captions,
            "aa_imagebind_reward": 1.0,
            "aa_captions_reward": 1.0,
            "aa_bpm_diff_penalty": 0.0,
            "aa_energy_diff_penalty": 0.0,
            "aa_spectral_diff_penalty": 0.0,
            "aa_mfcc_diff_penalty": 0.0,
            "aa_continue_penalty": goes_on,
            "illegal_penalty": illegal,
            "same_track_penalty": same,
            "reward": reward,
        }
        if previous >= 0:
            for name, table in self._between.items():
                info[name] = float(table[track, previous])
        terminated = failed or segment + 1 == len(self._lengths)
        self._playing = not terminated
        now.track = track
        if not terminated:
            now.segment, now.shown_track = segment + 1, track
        return self._observe(), reward, terminated, False, info

    def _observe(self) -> dict[str, Any]:
        seen = self._observer.observe(self.now, _NO_USE)
        return {
            "video_embedding": seen["video_embedding"],
            "last_music_embedding": seen["last_audio_embedding"],
        }


def make_multi(
    dataset: Dataset, config: SoundtrackConfig | None = None, **rest: Any
) -> gymnasium.Env[dict[str, Any], Any]:
    """Return the environment of id `MultiDiscrete` for the profile in `config`."""
    reference = config is not None and config.profile == "reference"
    kind = ReferenceMultiEnv if reference else MultiSoundtrackEnv
    return kind(dataset, config, **rest)


for _id in ("MultiDiscrete", "segue/SoundtrackMulti-v0"):
    if _id not in gymnasium.registry:
        gymnasium.register(_id, entry_point=f"{__name__}:make_multi")
