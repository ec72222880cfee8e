"""The note RNN in torch, for training; `lstm.LstmPlayer` plays the same arrays without torch.

Letters: `T` steps, `B` pieces, `V` = 38 classes, `H` units.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from segue.music.events import N_CLASSES
from segue.tasks.melody.lstm import (
    ECHO_TABLE,
    ECHO_WEIGHTS,
    FORGET_BIAS,
    LONGEST_RUN,
    OUTPUT_BIAS,
    OUTPUT_WEIGHTS,
    LstmPlayer,
    Player,
    cell_names,
)

__all__ = ["LstmNetwork", "NoteNetwork", "TensorFlowAdam", "clip_each"]

Narrow = NDArray[np.float32]
State = list[tuple[Tensor, Tensor]]


class NoteNetwork(nn.Module):
    """What every kind of network offers to training."""

    def unroll(self, observations: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Hear classes [T, B]; return scores [T, B, V] and the state. It begins at zero if None."""
        raise NotImplementedError

    def groups(self) -> list[list[nn.Parameter]]:
        """Return the parameters in the groups that the original keeps as one tensor each."""
        return [[p] for p in self.parameters() if p.requires_grad]

    def arrays(self) -> dict[str, Narrow]:
        """Return the weights under the names of the stored format."""
        raise NotImplementedError

    def load_arrays(self, arrays: Mapping[str, Narrow]) -> None:
        """Undo `arrays`."""
        raise NotImplementedError

    def player(self) -> Player:
        """Return what plays the present weights without torch, or with it for larger kinds."""
        raise NotImplementedError


class LstmNetwork(NoteNetwork):
    """LSTM layers and a linear layer over one-hot classes.

    Args:
        layers: units of each layer.
        echoes: distances in steps at which it can repeat itself; see `lstm`.
    """

    def __init__(self, layers: Sequence[int] = (100,), echoes: Sequence[int] = ()) -> None:
        super().__init__()
        self.echoes = tuple(echoes)
        below = N_CLASSES
        self.lstms: list[nn.LSTM] = []
        for units in layers:
            self.lstms.append(nn.LSTM(below, units))
            below = units
        self.cells = nn.ModuleList(self.lstms)  # registers them
        self.output = nn.Linear(below, N_CLASSES)
        if self.echoes:
            self.table = nn.Parameter(torch.zeros(len(self.echoes), LONGEST_RUN + 1))
            self.reach = nn.Parameter(torch.zeros(below, len(self.echoes)))
        self._begin()

    def _begin(self) -> None:
        """Draw Glorot-uniform kernels, as the original does, and zero biases."""
        for lstm in self.lstms:
            for p in lstm.parameters():
                nn.init.zeros_(p)
            above, recurrent, bias = _weights(lstm)
            units = lstm.hidden_size
            limit = (6.0 / (lstm.input_size + 5 * units)) ** 0.5
            nn.init.uniform_(above, -limit, limit)
            nn.init.uniform_(recurrent, -limit, limit)
            with torch.no_grad():
                bias[units : 2 * units] = FORGET_BIAS
            for name, p in lstm.named_parameters():
                p.requires_grad_(not name.startswith("bias_hh"))  # one bias, as stored
        nn.init.xavier_uniform_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def unroll(self, observations: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Hear classes [T, B]; the state is (hidden, cell) of each layer, [1, B, H] each.

        Echoes reach no further back than `observations`, whatever the state.
        """
        x = nn.functional.one_hot(observations, N_CLASSES).to(torch.float32)
        after: State = []
        for layer, lstm in enumerate(self.lstms):
            x, end = lstm(x, state[layer] if state else None)
            after.append(end)
        scores = self.output(x)
        for k, distance in enumerate(self.echoes):
            symbols, runs, known = _echoes(observations, distance)
            amount = (self.table[k][runs] + x @ self.reach[:, k]) * known
            scores = scores.scatter_add(-1, symbols[..., None], amount[..., None])
        return scores, after

    def step(self, observation: Tensor, state: State) -> Tensor:
        """Hear one class [B] from a state; return the scores [B, V].

        The same as `unroll` of one step, and twice as fast: a row of the kernel is looked up
        instead of multiplied, and no gradient is kept for the state.
        """
        x = None
        for lstm, (hidden, cell) in zip(self.lstms, state, strict=True):
            above, recurrent, bias = _weights(lstm)
            gates = nn.functional.linear(hidden[0], recurrent, bias)
            if x is None:
                gates = gates + nn.functional.embedding(observation, above.t())
            else:
                gates = gates + nn.functional.linear(x, above)
            i, f, g, o = gates.chunk(4, dim=1)
            after = torch.sigmoid(f) * cell[0] + torch.sigmoid(i) * torch.tanh(g)
            x = torch.sigmoid(o) * torch.tanh(after)
        assert x is not None
        scores: Tensor = self.output(x)
        return scores

    def groups(self) -> list[list[nn.Parameter]]:
        """Return each kernel (input and recurrent part), each bias, output weights, output bias."""
        found: list[list[nn.Parameter]] = []
        for above, recurrent, bias in map(_weights, self.lstms):
            found.append([above, recurrent])
            found.append([bias])
        weight, bias = self.output.parameters()
        last: list[list[nn.Parameter]] = [[weight], [bias]]
        if self.echoes:
            last += [[self.table], [self.reach]]
        return found + last

    def arrays(self) -> dict[str, Narrow]:
        """Return kernels and biases in the order of gates input, candidate, forget, output."""
        found: dict[str, Narrow] = {}
        for layer, lstm in enumerate(self.lstms):
            above, recurrent, bias = (p.detach() for p in _weights(lstm))
            kernel_name, bias_name = cell_names(layer)
            found[kernel_name] = _reordered(torch.cat([above, recurrent], dim=1).T.numpy())
            plain = bias.numpy().copy()
            plain[lstm.hidden_size : 2 * lstm.hidden_size] -= FORGET_BIAS
            found[bias_name] = _reordered(plain)
        found[OUTPUT_WEIGHTS] = np.ascontiguousarray(self.output.weight.detach().numpy().T)
        found[OUTPUT_BIAS] = self.output.bias.detach().numpy().copy()
        if self.echoes:
            found[ECHO_TABLE] = self.table.detach().numpy().copy()
            found[ECHO_WEIGHTS] = self.reach.detach().numpy().copy()
        return found

    @torch.no_grad()
    def load_arrays(self, arrays: Mapping[str, Narrow]) -> None:
        """Undo `arrays`; echoes that the arrays lack begin at zero."""
        for layer, lstm in enumerate(self.lstms):
            above, recurrent, bias = _weights(lstm)
            kernel, plain = (_reordered(arrays[name]) for name in cell_names(layer))
            above.copy_(torch.from_numpy(kernel[: lstm.input_size].T.copy()))
            recurrent.copy_(torch.from_numpy(kernel[lstm.input_size :].T.copy()))
            bias.copy_(torch.from_numpy(plain))
            bias[lstm.hidden_size : 2 * lstm.hidden_size] += FORGET_BIAS
        self.output.weight.copy_(torch.from_numpy(arrays[OUTPUT_WEIGHTS].T.copy()))
        self.output.bias.copy_(torch.from_numpy(arrays[OUTPUT_BIAS].copy()))
        if self.echoes and ECHO_TABLE in arrays:
            self.table.copy_(torch.from_numpy(arrays[ECHO_TABLE].copy()))
            self.reach.copy_(torch.from_numpy(arrays[ECHO_WEIGHTS].copy()))

    def player(self) -> LstmPlayer:
        """Return the player of the present weights."""
        return LstmPlayer(self.arrays(), self.echoes)


def _echoes(observations: Tensor, distance: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the class that an echo favours at each step [T, B], the run, and if there is one."""
    steps = len(observations)
    back = nn.functional.pad(observations, (0, 0, distance, 0), value=-1)
    equal = (observations == back[:steps]).numpy()  # this step repeats the one `distance` before
    runs = np.zeros(equal.shape, dtype=np.int64)
    run = runs[0]
    for t in range(steps):
        run = np.where(equal[t], np.minimum(run + 1, LONGEST_RUN), 0)
        runs[t] = run
    symbols = back[1 : steps + 1]  # what came `distance` steps before the next one
    return symbols.clamp(min=0), torch.from_numpy(runs), symbols >= 0


def _weights(lstm: nn.LSTM) -> tuple[nn.Parameter, nn.Parameter, nn.Parameter]:
    """Return input kernel [4 H, in], recurrent kernel [4 H, H], and the bias [4 H] in use."""
    named = dict(lstm.named_parameters())
    return named["weight_ih_l0"], named["weight_hh_l0"], named["bias_ih_l0"]


def _reordered(columns: Narrow) -> Narrow:
    """Swap the second and the third quarter of the columns: candidate and forget."""
    i, second, third, o = np.split(columns, 4, axis=-1)
    return np.concatenate([i, third, second, o], axis=-1)


class TensorFlowAdam:
    """Adam (Kingma and Ba 2015), with the bias correction in the step size, as in TensorFlow.

    step = rate sqrt(1 - b2^t) / (1 - b1^t)        theta -= step m / (sqrt(v) + 1e-8)
    """

    def __init__(self, parameters: Sequence[Tensor], rate: float = 1e-3) -> None:
        self.rate, self.count = rate, 0
        self.parameters: list[Tensor] = list(parameters)
        self._first = [torch.zeros_like(p) for p in self.parameters]
        self._second = [torch.zeros_like(p) for p in self.parameters]

    @torch.no_grad()
    def step(self) -> None:
        """Move the parameters against their gradients."""
        self.count += 1
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        torch._foreach_lerp_(self._first, gradients, 0.1)
        torch._foreach_mul_(self._second, 0.999)
        torch._foreach_addcmul_(self._second, gradients, gradients, 0.001)
        size = self.rate * (1 - 0.999**self.count) ** 0.5 / (1 - 0.9**self.count)
        below = torch._foreach_sqrt(self._second)
        torch._foreach_add_(below, 1e-8)
        torch._foreach_addcdiv_(self.parameters, self._first, below, -size)

    def zero(self) -> None:
        """Forget the gradients."""
        for p in self.parameters:
            p.grad = None

    def state(self) -> dict[str, object]:
        """Return the state as a tree for `torch_state.to_arrays`."""
        return {"count": self.count, "first": self._first, "second": self._second}

    def load_state(self, state: dict[str, object]) -> None:
        """Undo `state`."""
        self.count = int(state["count"])  # type: ignore[call-overload]
        self._first, self._second = list(state["first"]), list(state["second"])  # type: ignore[call-overload]


@torch.no_grad()
def clip_each(groups: Sequence[Sequence[nn.Parameter]], limit: float) -> list[float]:
    """Scale the gradient of each group to a norm of at most `limit`; return the norms before."""
    norms = []
    for group in groups:
        gradients = [p.grad for p in group if p.grad is not None]
        norm = float(torch.stack([g.square().sum() for g in gradients]).sum().sqrt())
        if norm > limit:
            torch._foreach_mul_(gradients, limit / norm)
        norms.append(norm)
    return norms
