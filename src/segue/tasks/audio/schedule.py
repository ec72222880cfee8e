"""Noise levels of a diffusion model, and one stochastic denoising step with its log-probability.

The step is that of DDIM (Song et al., "Denoising diffusion implicit models", 2021, equation 12)
with the noise share `eta`; seen as an action it is a Gaussian, whose log-probability is what
policy gradients need (Black et al., "Training diffusion models with reinforcement learning",
2024). As there, the log-probability is the mean over the elements of a sample, not the sum:
ratios of sums overflow.

Symbols: `a` cumulative signal share (alpha bar), `N` training steps, `K` sampling steps, `t` a
timestep, `p = t - N // K` the one after it on the way to the clean sample, `B` samples. A step
takes one timestep for each row, and rows may differ.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray

from segue.core.errors import UsageError

__all__ = ["Betas", "Prediction", "Schedule", "Spacing", "Step", "step"]

Betas = Literal["scaled_linear", "linear", "cosine", "given"]
"""How noise grows: linear in the square root of beta (latent diffusion), linear in beta, by the
squared cosine (Nichol and Dhariwal, 2021), or a table of signal shares."""

Prediction = Literal["epsilon", "v", "sample"]
"""What the network's output is: the noise, the velocity sqrt(a) e - sqrt(1 - a) x0, or x0."""

Spacing = Literal["leading", "linspace", "trailing"]
"""How sampling steps are spread over training steps; the names are those of diffusers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Noise levels, and what the network predicts; the defaults are AudioLDM2's.

    Raises:
        UsageError: the numbers are no schedule.
    """

    betas: Betas = "scaled_linear"
    n_train: int = 1000
    beta_start: float = 0.0015
    beta_end: float = 0.0195
    given: tuple[float, ...] = ()
    """Signal shares of a schedule that is `given`, falling, one for each training step."""
    prediction: Prediction = "epsilon"
    steps_offset: int = 1
    """Added to all timesteps of `leading` spacing."""
    final_alpha_one: bool = False
    """Whether the last step arrives at no noise at all; it then has no log-probability."""
    clip: float | None = None
    """Clean estimates are cut to -clip..clip."""
    threshold: float | None = None
    """Share of elements that the dynamic threshold of clean estimates leaves alone (Imagen)."""
    threshold_most: float = 1.0
    """Largest dynamic threshold."""
    spacing: Spacing = "leading"

    def __post_init__(self) -> None:
        given = np.asarray(self.given)
        if self.betas == "given":
            ok = len(given) == self.n_train and bool((given[:-1] >= given[1:]).all())
            if not (ok and given[0] <= 1 and given[-1] >= 0):
                raise UsageError(
                    f"{len(given)} signal shares are no schedule of {self.n_train} steps",
                    advice="They must fall from at most 1 to at least 0",
                )
        elif self.n_train < 1 or not 0 < self.beta_start <= self.beta_end < 1:
            raise UsageError(
                f"no schedule has {self.n_train} steps with betas {self.beta_start} to "
                f"{self.beta_end}"
            )

    @classmethod
    def from_diffusers(cls, scheduler: Any) -> Self:
        """Return the schedule of a DDIM scheduler of diffusers, to the same bits.

        Raises:
            UsageError: it predicts something that is unknown here.
        """
        config = scheduler.config
        names: dict[str, Prediction] = {
            "epsilon": "epsilon",
            "v_prediction": "v",
            "sample": "sample",
        }
        if config.prediction_type not in names:
            raise UsageError(
                f"a model that predicts '{config.prediction_type}' cannot be sampled here",
                advice=f"Known are {', '.join(names)}",
            )
        return cls(
            betas="given",
            n_train=int(config.num_train_timesteps),
            given=tuple(scheduler.alphas_cumprod.double().tolist()),
            prediction=names[config.prediction_type],
            steps_offset=int(config.steps_offset),
            final_alpha_one=bool(config.set_alpha_to_one),
            clip=float(config.clip_sample_range) if config.clip_sample else None,
            threshold=float(config.dynamic_thresholding_ratio) if config.thresholding else None,
            threshold_most=float(config.sample_max_value),
            spacing=config.timestep_spacing,
        )

    def facts(self) -> dict[str, Any]:
        """Return what a manifest keeps; `Schedule.parse` makes the schedule again."""
        return asdict(self)

    @classmethod
    def parse(cls, facts: dict[str, Any]) -> Self:
        """Make the schedule of which `facts` came, also through JSON."""
        return cls(**facts | {"given": tuple(facts.get("given", ()))})

    @property
    def alphas(self) -> NDArray[np.float64]:
        """Signal share of each training step, [N]; made in float32, as diffusers does."""
        return _alphas(self)

    @property
    def final_alpha(self) -> float:
        """Signal share that the last step arrives at."""
        return 1.0 if self.final_alpha_one else float(self.alphas[0])

    def timesteps(self, steps: int) -> NDArray[np.int64]:
        """Return the timesteps of `steps` sampling steps, falling, [K].

        Raises:
            UsageError: there are not so many.
        """
        if not 1 <= steps <= self.n_train:
            raise UsageError(
                f"{steps} sampling steps are asked for; the model has 1 to {self.n_train}"
            )
        found: NDArray[Any]
        if self.spacing == "leading":
            found = np.arange(steps)[::-1] * (self.n_train // steps) + self.steps_offset
        elif self.spacing == "linspace":
            found = np.linspace(0, self.n_train - 1, steps).round()[::-1]
        else:
            # in float64 like diffusers, whose halves round to even
            found = np.round(np.arange(self.n_train, 0, -self.n_train / steps)) - 1
        found = found[:steps].astype(np.int64)
        if found[0] >= self.n_train:
            raise UsageError(
                f"{steps} sampling steps begin at {found[0]}, and the model has {self.n_train}",
                advice="Take fewer",
            )
        return found

    def sigmas(self, steps: int, eta: float) -> NDArray[np.float64]:
        """Return the standard deviation of each sampling step, [K]."""
        t = torch.from_numpy(self.timesteps(steps))
        return _levels(self, t, steps, eta)[2].numpy()

    def add_noise(
        self, clean: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor
    ) -> torch.Tensor:
        """Return clean samples with noise of their timesteps, [B, ...]; timesteps are [B]."""
        a = _table(self, timesteps.device)[timesteps]
        return _wide(a.sqrt(), clean) * clean + _wide((1 - a).sqrt(), clean) * noise

    def target(
        self, clean: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor
    ) -> torch.Tensor:
        """Return what the network should predict, [B, ...], for `add_noise` of the same."""
        if self.prediction == "epsilon":
            return noise
        if self.prediction == "sample":
            return clean
        a = _table(self, timesteps.device)[timesteps]
        return _wide(a.sqrt(), clean) * noise - _wide((1 - a).sqrt(), clean) * clean

    def clean_and_noise(
        self, output: torch.Tensor, latents: torch.Tensor, timesteps: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the estimates of clean sample and noise that an output stands for, [B, ...]."""
        a = _table(self, timesteps.device)[timesteps]
        signal, noise = _wide(a.sqrt(), latents), _wide((1 - a).sqrt(), latents)
        if self.prediction == "epsilon":
            return (latents - noise * output) / signal, output
        if self.prediction == "sample":
            return output, (latents - signal * output) / noise
        return signal * latents - noise * output, signal * output + noise * latents


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one denoising step did."""

    latents: torch.Tensor
    """Where it arrived, [B, ...]."""
    log_prob: torch.Tensor
    """Mean over the elements of the log-density of `latents`, [B]; nan without noise."""
    mean: torch.Tensor
    """Of the Gaussian, [B, ...]."""
    sigma: torch.Tensor
    """Standard deviation, [B]."""
    clean: torch.Tensor
    """Estimate of the clean sample, [B, ...]."""


def step(
    schedule: Schedule,
    output: torch.Tensor,
    latents: torch.Tensor,
    timesteps: torch.Tensor,
    steps: int,
    eta: float,
    *,
    noise: torch.Tensor | None = None,
    previous: torch.Tensor | None = None,
    weights: torch.Tensor | None = None,
) -> Step:
    """Take one denoising step, or judge one that was taken.

    Args:
        schedule: noise levels.
        output: of the network (guided, where guidance is wanted), [B, ...].
        latents: the noisy samples that it saw, [B, ...].
        timesteps: theirs, integers, [B].
        steps: sampling steps `K` in all.
        eta: share of the noise: 0 none, 1 as much as in the forward process.
        noise: standard normal, [B, ...]; needed where `eta` is above 0, without `previous`.
        previous: where the step arrived, [B, ...]; gives its log-probability, with gradients
            through `output` alone.
        weights: of the elements in the log-probability, of mean 1, broadcast to [B, ...]; by
            default all are equal, and only then it is one.

    Returns:
        The step; its numbers are float32 also when `output` has half precision.

    Raises:
        UsageError: `eta` is negative.
    """
    if eta < 0:
        raise UsageError(f"eta is {eta}; it is 0 or more")
    output, latents = output.float(), latents.float()
    a_p, direction, sigma = _levels(schedule, timesteps, steps, eta)
    clean, estimate = schedule.clean_and_noise(output, latents, timesteps)
    clean = _bounded(schedule, clean)
    # the noise estimate stays as it was where the clean one is cut, as in diffusers' default
    mean = _wide(a_p.sqrt(), latents) * clean + _wide(direction, latents) * estimate
    spread = _wide(sigma, latents)
    if previous is None:
        if noise is None and eta > 0:
            raise ValueError("a step with eta above 0 needs noise")
        arrived = mean if noise is None else mean + spread * noise
    else:
        arrived = previous.float()
    off = (arrived.detach() - mean) / spread
    square = off.square() if weights is None else weights * off.square()
    log_prob = -0.5 * square.flatten(1).mean(1) - sigma.float().log()
    log_prob = log_prob - 0.5 * math.log(2 * math.pi)
    log_prob = log_prob.masked_fill(sigma == 0, math.nan)
    return Step(latents=arrived, log_prob=log_prob, mean=mean, sigma=sigma.float(), clean=clean)


def _levels(
    schedule: Schedule, timesteps: torch.Tensor, steps: int, eta: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the next signal share, factor of the noise estimate and sigma, float64 [B] each."""
    table = _table(schedule, timesteps.device)
    after = timesteps - schedule.n_train // steps
    a_t, a_p = table[timesteps], table[after.clamp(min=0)]
    a_p = torch.where(after >= 0, a_p, schedule.final_alpha)
    variance = (1 - a_p) / (1 - a_t) * (1 - a_t / a_p)
    # at the first training step there may be no noise to take away
    sigma = eta * variance.nan_to_num(0.0).clamp(min=0).sqrt()
    return a_p, (1 - a_p - sigma.square()).clamp(min=0).sqrt(), sigma


def _bounded(schedule: Schedule, clean: torch.Tensor) -> torch.Tensor:
    if schedule.threshold is not None:
        sizes = torch.quantile(clean.detach().abs().flatten(1), schedule.threshold, dim=1)
        most = _wide(sizes.clamp(1.0, schedule.threshold_most), clean)
        return clean.clamp(-most, most) / most
    if schedule.clip is not None:
        return clean.clamp(-schedule.clip, schedule.clip)
    return clean


def _wide(values: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Return [B] as [B, 1, ...] in float32, to be broadcast over samples."""
    return values.float().reshape(-1, *[1] * (like.ndim - 1))


@lru_cache(maxsize=16)
def _alphas(schedule: Schedule) -> NDArray[np.float64]:
    n, low, high = schedule.n_train, schedule.beta_start, schedule.beta_end
    if schedule.betas == "given":
        found = np.array(schedule.given)
    else:
        if schedule.betas == "cosine":
            at = [math.cos((i / n + 0.008) / 1.008 * math.pi / 2) ** 2 for i in range(n + 1)]
            betas = torch.tensor([min(1 - at[i + 1] / at[i], 0.999) for i in range(n)])
        elif schedule.betas == "linear":
            betas = torch.linspace(low, high, n, dtype=torch.float32)
        else:
            betas = torch.linspace(low**0.5, high**0.5, n, dtype=torch.float32).square()
        found = torch.cumprod(1.0 - betas, dim=0).double().numpy()
    found.setflags(write=False)
    return found


@lru_cache(maxsize=16)
def _table(schedule: Schedule, device: torch.device) -> torch.Tensor:
    return torch.tensor(schedule.alphas, device=device)
