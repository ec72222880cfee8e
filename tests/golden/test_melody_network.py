"""RL Tuner's note RNN: its scores, through the importer and both of Segue's networks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from segue.tasks.melody.import_weights import Imported, import_weights
from segue.tasks.melody.lstm import LstmPlayer
from segue.tasks.melody.models import make_network

from .conftest import Compared

TOLERANCE = 1e-5


@pytest.fixture
def data(golden: Callable[[str], Any]) -> Any:
    return golden("melody_dqn.json")


@pytest.fixture
def imported(data: Any, tmp_path: Path) -> Imported:
    """Its weights as a checkpoint has them: in the scope of the original, with `:0`."""
    path = tmp_path / "note_rnn.npz"
    named = {f"rnn_model/{name}:0": np.array(a) for name, a in data["weights"].items()}
    assert sorted(name.removesuffix(":0") for name in named) == data["checkpoint_variable_names"]
    np.savez(path, **named)
    return import_weights(path, swap_special=False)


def test_scores_of_a_melody(data: Any, imported: Imported, compared: Compared) -> None:
    assert imported.network.kind == "lstm"
    assert imported.network.layers == (data["hidden"],)
    network = make_network(imported.network)
    network.load_arrays(imported.arrays)
    player = LstmPlayer(imported.arrays)
    count = 0
    for piece in data["forward"]:
        classes = np.array(piece["inputs"])[:, None]
        wanted = np.array(piece["logits"]).reshape(-1, 38)
        with torch.no_grad():
            scores, ((hidden, cell), *_) = network.unroll(torch.from_numpy(classes))
        np.testing.assert_allclose(scores[:, 0].numpy(), wanted, atol=TOLERANCE)
        left = torch.cat([cell, hidden], dim=2).numpy().ravel()
        np.testing.assert_allclose(left, piece["final_state"], atol=TOLERANCE)
        state = player.begin(1)
        for row, logits in zip(classes, wanted, strict=True):
            played, state = player.step(state, row)
            np.testing.assert_allclose(played[0], logits, atol=TOLERANCE)
        count += 2 * wanted.size + left.size
    compared("melody network scores", count)


def test_scores_from_stored_states(data: Any, imported: Imported, compared: Compared) -> None:
    """The score of each action of a batch, from the states that the original kept."""
    network = make_network(imported.network)
    network.load_arrays(imported.arrays)
    batch, units = data["batch"], data["hidden"]
    kept = torch.tensor(batch["state"])[None]  # cell, then hidden
    state = [(kept[..., units:].contiguous(), kept[..., :units].contiguous())]
    scores, _ = network.unroll(torch.tensor(batch["obs"])[None], state)
    wanted = next(entry for entry in data["learning"] if entry["algorithm"] == "q")
    taken = scores[0].detach().numpy()[np.arange(len(batch["obs"])), batch["action"]]
    np.testing.assert_allclose(taken, wanted["q_of_action"], atol=TOLERANCE)
    compared("melody network scores", len(taken))
