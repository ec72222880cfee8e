"""A policy that points at one of any number of candidates.

Every candidate is described by `F` numbers, the state by `S`; one small network scores each pair,
so the same weights serve any number and any order of candidates:

    h_n     = gelu(A x_n + B s + b)                       per candidate
    m       = max over allowed n of h_n                   what the others offer
    g_n     = gelu(C h_n + D m + c)
    score_n = prior_n + w . g_n                           one logit each, w = 0 at first
    value   = v . gelu(E [s, m] + e) + f                  v = 0 at first

The pooling is that of deep sets (Zaheer et al., "Deep Sets", 2017), the output that of pointer
networks (Vinyals et al., "Pointer Networks", 2015). Before any update the policy is exactly its
prior. gelu is the tanh form x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) of Hendrycks and Gimpel
(2016), because numpy has a tanh: `NumpyPointer` computes the scores without torch.

Letters: `B` decisions, `N` candidates, `F` and `S` numbers, `H` width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from segue.core.config import Config
from segue.core.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

__all__ = [
    "FORBIDDEN",
    "NumpyPointer",
    "PointerConfig",
    "log_softmax",
    "make_pointer",
    "pointer_arrays",
]

Narrow = NDArray[np.float32]
Flags = NDArray[np.bool_]

FORBIDDEN = -1e9
"""Logit of a candidate that is not allowed: finite, so that gradients stay numbers."""
_NAMES = (
    "candidate.weight",
    "candidate.bias",
    "state.weight",
    "second.weight",
    "second.bias",
    "pooled.weight",
    "score.weight",
    "value_hidden.weight",
    "value_hidden.bias",
    "value.weight",
    "value.bias",
)


class PointerConfig(Config):
    """Sizes of the network."""

    candidate_numbers: int = Field(ge=1)
    """Numbers of a candidate, F."""
    state_numbers: int = Field(ge=1)
    """Numbers of the state, S."""
    width: int = Field(64, ge=1)
    """Units of every layer, H."""


def make_pointer(config: PointerConfig) -> torch.nn.Module:
    """Return a new network; its weights are drawn from torch's global generator.

    Its `forward(candidates [B, N, F], state [B, S], mask [B, N], prior [B, N])` returns the logits
    [B, N] (-1e9 where `mask` is False) and the value of the state [B].
    """
    import torch
    from torch import nn

    class Pointer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            width = config.width
            self.config = config
            self.candidate = nn.Linear(config.candidate_numbers, width)
            self.state = nn.Linear(config.state_numbers, width, bias=False)
            self.second = nn.Linear(width, width)
            self.pooled = nn.Linear(width, width, bias=False)
            self.score = nn.Linear(width, 1, bias=False)
            self.value_hidden = nn.Linear(config.state_numbers + width, width)
            self.value = nn.Linear(width, 1)
            for last in (self.score, self.value):
                nn.init.zeros_(last.weight)
            nn.init.zeros_(self.value.bias)
            self.gelu = nn.GELU(approximate="tanh")

        def forward(
            self,
            candidates: torch.Tensor,
            state: torch.Tensor,
            mask: torch.Tensor,
            prior: torch.Tensor,
        ) -> tuple[torch.Tensor, torch.Tensor]:
            hidden = self.gelu(self.candidate(candidates) + self.state(state)[:, None])
            pool = hidden.masked_fill(~mask[..., None], FORBIDDEN).amax(dim=1)
            second = self.gelu(self.second(hidden) + self.pooled(pool)[:, None])
            logits = prior + self.score(second)[..., 0]
            hidden_value = self.gelu(self.value_hidden(torch.cat([state, pool], dim=1)))
            return logits.masked_fill(~mask, FORBIDDEN), self.value(hidden_value)[:, 0]

    return Pointer()


def pointer_arrays(module: torch.nn.Module) -> dict[str, Narrow]:
    """Return the weights of a network as float32 arrays, for `NumpyPointer` and for disk."""
    return {
        name: value.detach().cpu().numpy().astype(np.float32)
        for name, value in module.state_dict().items()
    }


class NumpyPointer:
    """The same network without torch, for inference.

    Args:
        arrays: of `pointer_arrays`.

    Raises:
        RunError: these are not the weights of such a network.
    """

    def __init__(self, arrays: Mapping[str, Narrow]) -> None:
        missing = sorted(set(_NAMES) ^ set(arrays))
        if missing:
            raise RunError(f"not the weights of a pointer policy: {', '.join(missing)}")
        self.arrays = {name: np.asarray(arrays[name], dtype=np.float32) for name in _NAMES}
        self.width, self.candidate_numbers = self._shape("candidate.weight", 2)
        width = self.width
        self.state_numbers = self._shape("state.weight", 2)[1]
        wanted = {
            "candidate.bias": (width,),
            "state.weight": (width, self.state_numbers),
            "second.weight": (width, width),
            "second.bias": (width,),
            "pooled.weight": (width, width),
            "score.weight": (1, width),
            "value_hidden.weight": (width, self.state_numbers + width),
            "value_hidden.bias": (width,),
            "value.weight": (1, width),
            "value.bias": (1,),
        }
        for name, shape in wanted.items():
            if self.arrays[name].shape != shape:
                raise RunError(f"{name} has shape {self.arrays[name].shape}, not {shape}")
        if not all(np.isfinite(value).all() for value in self.arrays.values()):
            raise RunError("the weights of the pointer policy hold NaN or infinity")

    def __call__(
        self, candidates: Narrow, state: Narrow, mask: Flags, prior: Narrow
    ) -> tuple[Narrow, Narrow]:
        """Return logits [B, N] and values [B]; see `make_pointer`."""
        a = self.arrays
        hidden = candidates @ a["candidate.weight"].T
        hidden += (state @ a["state.weight"].T + a["candidate.bias"])[:, None]
        hidden = _gelu(hidden)
        pool = np.where(mask[..., None], hidden, np.float32(FORBIDDEN)).max(axis=1)
        second = hidden @ a["second.weight"].T
        second += (pool @ a["pooled.weight"].T + a["second.bias"])[:, None]
        logits = prior + (_gelu(second) @ a["score.weight"][0])
        merged = np.concatenate([state, pool], axis=1)
        inner = _gelu(merged @ a["value_hidden.weight"].T + a["value_hidden.bias"])
        value = inner @ a["value.weight"][0] + a["value.bias"][0]
        return np.where(mask, logits, np.float32(FORBIDDEN)), value

    def _shape(self, name: str, n: int) -> tuple[int, ...]:
        shape = self.arrays[name].shape
        if len(shape) != n:
            raise RunError(f"{name} has shape {shape}")
        return shape


def log_softmax(logits: Narrow) -> Narrow:
    """Return log-probabilities, [B, N] -> [B, N]."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))


def _gelu(x: Narrow) -> Narrow:
    inner = x * x
    inner *= np.float32(0.044715)
    inner += np.float32(1.0)
    inner *= x
    inner *= np.float32(0.7978845608028654)
    np.tanh(inner, out=inner)
    inner += np.float32(1.0)
    inner *= x
    inner *= np.float32(0.5)
    return inner
