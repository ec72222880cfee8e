"""The network that scores candidates: the pointer network on top of a prior that it sharpens.

    logit_n = t log(prior_n) + residual_n

The residual is `rl.pointer`'s: it sees each candidate, the query, and what the other candidates
offer. Its output layer is zero and t is one at first, so that an untrained network ranks exactly as
the fused ranker does. The numbers of the candidates and of the query are centred and scaled with
the means and deviations of the training questions.

`NumpyScorer` computes the same without torch; it is what a stored re-ranker or agent answers with.

Letters: `B` queries, `N` candidates, `F` and `S` numbers of a candidate and of a query.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import RunError
from segue.rl.pointer import FORBIDDEN, NumpyPointer, PointerConfig, make_pointer, pointer_arrays
from segue.tasks.playlist.candidates import Candidates

if TYPE_CHECKING:
    import torch

__all__ = ["NumpyScorer", "Scaling", "make_scorer", "scorer_arrays", "scorer_logits"]

Narrow = NDArray[np.float32]

_POINTER = "pointer."
_SCALING = ("candidate.mean", "candidate.inverse", "query.mean", "query.inverse")
_BATCH = 256
_LARGEST = 10.0
"""In deviations; what is further out is drawn in, so that a rare number cannot run away."""


class Scaling:
    """Centres and scales what the network sees.

    Args:
        arrays: means and inverse deviations, as `of` makes them.
    """

    def __init__(self, arrays: Mapping[str, Narrow]) -> None:
        self.arrays = {name: np.asarray(arrays[name], dtype=np.float32) for name in _SCALING}

    @classmethod
    def of(cls, candidates: Candidates, most: int = 4000) -> Scaling:
        """Measure on at most `most` of the queries, evenly spread."""
        step = max(1, -(-len(candidates) // most))
        mask = candidates.mask[::step]
        numbers = candidates.numbers[::step][mask].astype(np.float64)
        state = candidates.state[::step].astype(np.float64)
        arrays: dict[str, Narrow] = {}
        for name, values in (("candidate", numbers), ("query", state)):
            deviation = values.std(axis=0) if len(values) else np.zeros(values.shape[1])
            mean = values.mean(axis=0) if len(values) else np.zeros(values.shape[1])
            arrays[f"{name}.mean"] = mean.astype(np.float32)
            # a number that never changes tells nothing: it is 0 for every candidate
            inverse = np.where(deviation > 1e-6, 1 / np.maximum(deviation, 1e-6), 0.0)
            arrays[f"{name}.inverse"] = inverse.astype(np.float32)
        return cls(arrays)

    def __call__(self, candidates: Candidates) -> tuple[Narrow, Narrow]:
        """Return the scaled numbers [B, N, F] and states [B, S]."""
        a = self.arrays
        numbers = candidates.numbers.astype(np.float32)
        numbers -= a["candidate.mean"]
        numbers *= a["candidate.inverse"]
        np.clip(numbers, -_LARGEST, _LARGEST, out=numbers)
        state = (candidates.state.astype(np.float32) - a["query.mean"]) * a["query.inverse"]
        return numbers, np.clip(state, -_LARGEST, _LARGEST)


def make_scorer(candidates: int, state: int, width: int) -> torch.nn.Module:
    """Return a new network; its weights are drawn from torch's global generator.

    Args:
        candidates: numbers of a candidate, F.
        state: numbers of a query, S.
        width: units of every layer.
    """
    import torch

    network = make_pointer(
        PointerConfig(candidate_numbers=candidates, state_numbers=state, width=width)
    )
    network.sharpness = torch.nn.Parameter(torch.ones(1))
    return network


def scorer_logits(network: torch.nn.Module, scaling: Scaling, candidates: Candidates) -> Any:
    """Return logits [B, N] and values [B] as tensors, with their gradient; see `make_scorer`."""
    import torch

    from segue.rl.pointer_gradient import forward

    numbers, state = scaling(candidates)
    mask = candidates.mask
    prior = torch.from_numpy(np.where(mask, candidates.prior, 0.0).astype(np.float32))
    part: Any = network
    # a row without any candidate would divide by the number of its greatest: none
    open_mask = mask.copy()
    open_mask[~mask.any(axis=1), 0] = True
    return forward(
        network,
        torch.from_numpy(numbers),
        torch.from_numpy(state),
        torch.from_numpy(open_mask),
        part.sharpness * prior,
    )


def scorer_arrays(network: torch.nn.Module, scaling: Scaling) -> dict[str, Narrow]:
    """Return everything that `NumpyScorer` needs."""
    weights = pointer_arrays(network)
    sharpness = weights.pop("sharpness")
    return {
        "sharpness": sharpness,
        **scaling.arrays,
        **{_POINTER + name: value for name, value in weights.items()},
    }


class NumpyScorer:
    """The network without torch.

    Args:
        arrays: of `scorer_arrays`; others are ignored.

    Raises:
        RunError: something is missing, or has the wrong shape.
    """

    def __init__(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        missing = [name for name in ("sharpness", *_SCALING) if name not in arrays]
        if missing:
            raise RunError(f"not the weights of a scorer: {', '.join(missing)} missing")
        weights = {k.removeprefix(_POINTER): v for k, v in arrays.items() if k.startswith(_POINTER)}
        self.pointer = NumpyPointer(weights)
        self.scaling = Scaling(arrays)
        self.sharpness = np.float32(arrays["sharpness"][0])
        known = len(self.scaling.arrays["candidate.mean"]), len(self.scaling.arrays["query.mean"])
        if known != (self.pointer.candidate_numbers, self.pointer.state_numbers):
            raise RunError(f"a scorer of {known} numbers, but a network of others")

    def __call__(self, candidates: Candidates) -> Narrow:
        """Return logits [B, N], -1e9 where there is no candidate.

        Raises:
            RunError: the candidates are described by other numbers than those it was trained on.
        """
        shape = candidates.numbers.shape[2], candidates.state.shape[1]
        if shape != (self.pointer.candidate_numbers, self.pointer.state_numbers):
            raise RunError(
                f"candidates have {shape[0]} and queries {shape[1]} numbers; this network was "
                f"trained on {self.pointer.candidate_numbers} and {self.pointer.state_numbers}",
                advice="Train it again with this version",
            )
        logits = np.full(candidates.tracks.shape, FORBIDDEN, dtype=np.float32)
        for low in range(0, len(candidates), _BATCH):
            part = candidates.take(np.arange(low, min(low + _BATCH, len(candidates))))
            numbers, state = self.scaling(part)
            mask = part.mask
            prior = self.sharpness * np.where(mask, part.prior, np.float32(0.0))
            logits[low : low + len(part)] = self.pointer(numbers, state, mask, prior)[0]
        return logits
