"""The soundtrack environment, one decision per video segment.

The reward is that of `rewards.py`; its parts are looked up in tables that are computed when a
video is first played, so a step costs microseconds. Times in seconds; `T` segments, `K` tracks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.error import ResetNeeded
from numpy.typing import NDArray

from segue.core.errors import UsageError
from segue.core.names import unknown
from segue.tasks.soundtrack.config import SoundtrackConfig
from segue.tasks.soundtrack.data import Dataset
from segue.tasks.soundtrack.lookahead import action_values
from segue.tasks.soundtrack.observation import (
    FullObservation,
    Observer,
    ReferenceObservation,
    Situation,
)
from segue.tasks.soundtrack.prior import Prior, default_prior
from segue.tasks.soundtrack.rewards import ILLEGAL, Steps, extra_reward
from segue.tasks.soundtrack.rows import LibraryRows, VideoRows
from segue.tasks.soundtrack.tables import FADE_PER_S

__all__ = ["OPTIONS", "SoundtrackEnv"]

OPTIONS = ("switch_target", "video_idx")
"""What `reset` takes as options."""


class SoundtrackEnv(gymnasium.Env[dict[str, Any], Any]):
    """Choose music for a video, segment by segment.

    ## Description
    A video is a sequence of T contiguous segments, a library has K tracks. At each segment the
    agent starts a track from its beginning or lets the current one go on. An episode is a video.

    ## Action Space
    `Discrete(K + 1)`: 0..K-1 starts that track; K continues the current track. Continuing is not
    allowed at the first segment and once the track has ended; `action_masks()` says what is
    allowed, in the form that MaskablePPO asks for.

    ## Observation Space
    A `Dict` of float32. Profile `default`: `segment` (unit vectors of picture and caption), `music`
    (unit vectors of the track playing and its description), `use` (in how many segments each track
    played, how often it was started) and `state`, whose entries are listed in
    `observation.STATE`. Profile `reference`: `video_embedding`, `last_audio_embedding`,
    `switch_ratio`.

    ## Rewards
    The weighted sum of the terms in `rewards.REWARDS`; all parts are in `info`, `switch_reward`
    and `theme_reward` weighted, the others not.

    ## Starting State
    No track plays. The video is drawn at random, or taken in turn with `random=False`. Options of
    `reset`: `video_idx` chooses the video (modulo their number), `switch_target` sets the number
    of switches asked for, which is otherwise drawn from the budget of the prior.

    ## Episode End
    Terminates after the last segment, and at a decision that was not allowed. Never truncates. In
    profile `reference` the last observation shows the previous track, as in the original.

    ## Arguments
    `dataset`; `config` (profile, weights, mode); `prior`, by default fitted on the training videos
    of the split in `config` (on all in profile `reference`); `videos`, indices into the dataset,
    by default all; `random`; `render_mode`, None or "ansi": one line for the last step.

    ## References
    The reward is that of RL-Soundtrack (2025), revision of December 2025.
    """

    metadata = {"render_modes": ["ansi"], "render_fps": 1}  # noqa: RUF012  as Gymnasium types it

    def __init__(
        self,
        dataset: Dataset,
        config: SoundtrackConfig | None = None,
        *,
        prior: Prior | None = None,
        videos: Sequence[int] | None = None,
        random: bool = True,
        render_mode: str | None = None,
    ) -> None:
        self.dataset, self.config = dataset, config or SoundtrackConfig()
        self.reference = self.config.profile == "reference"
        self.render_mode = render_mode
        self.random = random
        self.videos = list(range(len(dataset.videos)) if videos is None else videos)
        if not self.videos:
            raise UsageError("no video to play")
        bad = [index for index in self.videos if not 0 <= index < len(dataset.videos)]
        if bad:
            raise UsageError(
                f"there is no video {bad[0]}", advice=f"0 to {len(dataset.videos) - 1}"
            )
        self.prior = prior or default_prior(dataset, self.config)
        self.weights = weights = self.config.weights.weights()
        self._weights = (
            weights.alignment,
            weights.smoothness,
            weights.switch,
            weights.theme,
            weights.silence,
        )
        self.fade_per_s = FADE_PER_S[self.config.mode]
        self.n_tracks = len(dataset.tracks)
        self._extra = extra_reward(self.config.extra_terms) if self.config.extra_terms else None

        observer: Observer = (
            ReferenceObservation(dataset) if self.reference else FullObservation(dataset)
        )
        self._observer = observer
        self.observation_space = observer.space
        self.action_space: spaces.Space[Any] = spaces.Discrete(self.n_tracks + 1)
        self.library = LibraryRows(dataset)
        self._rows: dict[int, VideoRows] = {}
        self.video: VideoRows = self._video_rows(self.videos[0])
        self.now: Situation = Situation()
        self.heard: list[int] = []
        """Track of every step so far."""
        self.use = np.zeros((2, self.n_tracks), dtype=np.float32)
        """[2, K] in how many segments each track played, and how often it was started."""
        # A flat view writes into the array at a third of the cost of indexing it.
        self._use_view: Any = memoryview(self.use.reshape(-1))  # type: ignore[arg-type]
        self._turn = 0 if self.reference else -1
        self._playing = False
        self._last = ""

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Begin an episode; see the options under "Starting State".

        Raises:
            UsageError: an option is unknown or is not a whole number.
        """
        super().reset(seed=seed)
        given = _checked_options(options)
        n_videos = len(self.videos)
        if self.random and (self.reference or "video_idx" not in given):
            place = int(self.np_random.integers(n_videos))
        else:
            self._turn = given.get("video_idx", self._turn + 1) % n_videos
            place = self._turn
        index = self.videos[place]
        self.video = rows = self._video_rows(index)
        target = given.get("switch_target")
        if target is None:
            target = self.prior.budget.draw(
                rows.sigma, rows.n_segments, self.np_random, self.config.kappa
            )
        self.now = Situation(video=index, target=target)
        self.heard = []
        self.use.fill(0.0)
        self._playing = True
        self._last = ""
        self._observer.begin(index, self.dataset.videos[index])
        observation = self._observer.observe(self.now, self.use)
        return observation, {} if self.reference else {"video_filename": rows.name}

    def step(self, action: Any) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Make the decision for the current segment.

        Raises:
            ResetNeeded: no episode is running.
            UsageError: the action is outside 0..K.
        """
        if not self._playing:
            raise ResetNeeded("call reset() before step()")
        choice, now, rows = int(action), self.now, self.video
        segment, previous, n_tracks = now.segment, now.track, self.n_tracks
        if not 0 <= choice <= n_tracks:
            raise UsageError(f"action {choice} is outside 0..{n_tracks}")

        # 1. What the action means.
        length, picture_step, caption_step, gate = rows.segments[segment]
        started, legal = choice < n_tracks, True
        same = start = 0.0
        if started:
            track = choice
            earlier = self._use_view[n_tracks + track]
            self._use_view[n_tracks + track] = earlier + 1.0
            same = -(earlier + (track == previous))
            if previous >= 0:
                now.switches += 1
        elif now.ended:  # also before the first track; scored with the first track
            track, start, legal = 0, max(0.0, now.elapsed_s - length), False
        else:
            track, start = previous, now.elapsed_s
        place = segment * n_tracks + track
        if rows.allowed is not None and not rows.allowed[segment, track]:
            legal = False
        duration, picture_reference, caption_reference = rows.tracks[track]
        if legal or started:
            now.elapsed_s = elapsed = start + length
            left = duration - elapsed
            now.ended = elapsed >= duration
            now.track_left_s = left if left > 0.0 else 0.0
        self.heard.append(track)
        self._use_view[track] += 1.0

        # 2. What it earns.
        w_alignment, w_smoothness, w_switch, w_theme, w_silence = self._weights
        alignment = rows.alignment[place]
        if start and self.fade_per_s:
            alignment *= math.exp(-self.fade_per_s * start)
        illegal = 0.0 if legal else ILLEGAL
        reward = illegal + same + w_alignment * alignment
        if previous >= 0:
            audio, caption, tempo, energy, spectral, mfcc, semantic, acoustic, transition = (
                self.library.between(track, previous)
            )
            smoothness = gate * transition
            reward += w_smoothness * smoothness
        else:
            audio = caption = semantic = acoustic = smoothness = 1.0  # as the original reports
            tempo = energy = spectral = mfcc = transition = 0.0
        silence = 0.0
        if w_silence:
            unfilled = start + length - duration
            if unfilled > 0.0:
                silence = -min(unfilled, length) / length
                reward += w_silence * silence
        terminated = not legal or segment + 1 == rows.n_segments
        switch = theme = unity = 0.0
        if terminated:
            switch = w_switch * -float(abs(now.switches - now.target))
            unity = self.library.theme.value(self.heard)
            theme = w_theme * unity
            reward += switch
            reward += theme
            self._playing = False

        info: dict[str, Any] = {
            "video_filename": rows.name,
            "aa_continue_penalty": 0.0,
            "illegal_penalty": illegal,
            "same_track_penalty": same,
            "va_imagebind_similarity": rows.picture[place],
            "va_imagebind_ref_similarity": picture_reference,
            "va_captions_similarity": rows.caption[place],
            "va_captions_ref_similarity": caption_reference,
            "vv_imagebind_similarity": picture_step,
            "vv_captions_similarity": caption_step,
            "aa_imagebind_similarity": audio,
            "aa_captions_similarity": caption,
            "aa_bpm_diff": tempo,
            "aa_energy_diff": energy,
            "aa_spectral_diff": spectral,
            "aa_mfcc_diff": mfcc,
            "smoothness_gating_factor": gate,
            "alignment_reward": alignment,
            "semantic_smoothness_reward": semantic,
            "acoustic_smoothness_reward": acoustic,
            "smoothness_reward": smoothness,
            "switch_reward": switch,
            "theme_reward": theme,
            "reward": reward,
        }
        if not self.reference:
            info["silence_reward"] = silence
            info["track"] = track
            info["track_start_s"] = start
        if self._extra is not None:
            total, parts = self._extra(
                Steps.of_one(
                    video=self.videos.index(now.video),
                    segment=segment,
                    track=track,
                    previous=previous if previous >= 0 else n_tracks,
                    started=started,
                    earlier=-same,
                    start_s=start,
                    length_s=length,
                    duration_s=duration,
                    fit=rows.alignment[place],
                    transition=transition,
                    gate=gate,
                    illegal=not legal,
                    final=terminated,
                    switch_gap=float(abs(now.switches - now.target)) if terminated else 0.0,
                    theme=unity,
                    fade_per_s=self.fade_per_s,
                )
            )
            info["reward"] = reward = reward + float(total[0])
            info |= {f"extra/{name}": float(value[0]) for name, value in parts.items()}

        # 3. What comes next.
        if self.render_mode:
            verb = "starts" if started else "goes on" if legal else "(not allowed)"
            name = self.dataset.tracks[track].name
            self._last = f"segment {segment}: {name} {verb} at {start:.1f} s, reward {reward:.3f}"
        if not (terminated and self.reference):
            now.segment = segment + 1
            now.shown_track = track
        now.track = track
        observation = self._observer.observe(now, self.use)
        return observation, reward, terminated, False, info

    def action_masks(self) -> NDArray[np.bool_]:
        """Return which actions are allowed, [K + 1]; never none while an episode runs."""
        now, rows = self.now, self.video
        mask = np.ones(self.n_tracks + 1, dtype=np.bool_)
        mask[-1] = not now.ended
        if rows.allowed is not None and now.segment < rows.n_segments:
            mask[:-1] = rows.allowed[now.segment]
            mask[-1] &= now.track >= 0 and mask[now.track]
        return mask

    def get_action_rewards(self, key: str | Sequence[str] | None = None) -> NDArray[np.float32]:
        """Return what each action would earn now, [K + 1]; minus infinity where not allowed.

        Args:
            key: None for the whole reward; a name for that part alone (a key of `info`, or a
                name of `rewards.REWARDS`); a list of names for their sum, to which profile
                `reference` adds the whole reward, as the original does.

        Raises:
            ResetNeeded: no episode is running.
            UnknownName: there is no such part.
        """
        if not self._playing:
            raise ResetNeeded("call reset() before get_action_rewards()")
        if key is None:
            values = action_values(self, "reward")
        elif isinstance(key, str):
            values = action_values(self, key)
        else:
            names = ["reward", *key] if self.reference else list(key)
            values = np.zeros(self.n_tracks + 1)
            for name in names:
                values = values + action_values(self, name)
        result = values.astype(np.float32)
        if self.video.allowed is None:
            if self.now.ended:
                result[-1] = -np.inf
        else:
            result[~self.action_masks()] = -np.inf
        return result

    def forbid(self, video: int, forbidden: NDArray[np.bool_]) -> None:
        """Forbid tracks at segments of a video, from its next episode on.

        Args:
            video: index into the dataset.
            forbidden: [T, K] true where the track may not play.

        Raises:
            DataError: a segment would be left without a track.
        """
        self._rows[video] = VideoRows(self.dataset, self.prior, video, forbidden)

    def render(self) -> str | None:
        """Return one line about the last step (mode "ansi"), else None."""
        return self._last if self.render_mode == "ansi" else None

    def _video_rows(self, index: int) -> VideoRows:
        if index not in self._rows:
            self._rows[index] = VideoRows(self.dataset, self.prior, index)
        return self._rows[index]


def _checked_options(options: dict[str, Any] | None) -> dict[str, int]:
    given: dict[str, int] = {}
    for name, value in (options or {}).items():
        if name not in OPTIONS:
            raise unknown("option of reset", name, OPTIONS)
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
            raise UsageError(f"option {name} = {value!r} is not a whole number")
        given[name] = int(value)
    return given


for _id in ("Discrete", "segue/Soundtrack-v0"):
    if _id not in gymnasium.registry:
        gymnasium.register(_id, entry_point=f"{__name__}:SoundtrackEnv")
