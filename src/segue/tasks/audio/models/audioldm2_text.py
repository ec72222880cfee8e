"""From texts to the two streams that AudioLDM2 hears.

Texts of equal length are encoded together and need no padding; the result is padded at the end,
behind a mask. Every distinct text is encoded once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from segue.core.errors import UsageError

__all__ = ["encode"]

_STATES = 8
"""States that the language model generates, where its settings do not say."""
_TOGETHER = 32


def encode(
    parts: Mapping[str, Any], texts: Sequence[str], device: torch.device, length: int | None = None
) -> dict[str, torch.Tensor]:
    """Return `generated` [B, 8, D], `text` [B, L, D] and `text_mask` [B, L].

    Args:
        parts: of the pipeline.
        texts: B of them.
        device: where the networks are.
        length: T5 tokens to pad every text to before it is encoded; by default none is padded.

    Raises:
        UsageError: a text is blank or too long.
    """
    distinct = list(dict.fromkeys(texts))
    tokens = {text: _tokens(parts, text, length) for text in distinct}
    alike: dict[int, list[str]] = defaultdict(list)
    for text in distinct:
        alike[length or len(tokens[text][1])].append(text)
    rows: dict[str, tuple[torch.Tensor, ...]] = {}
    for size, members in alike.items():
        for first in range(0, len(members), _TOGETHER):
            some = members[first : first + _TOGETHER]
            made = _encode(parts, [tokens[text] for text in some], size, device)
            rows.update(zip(some, zip(*made, strict=True), strict=True))
    longest = max(alike)
    padded = torch.nn.utils.rnn.pad_sequence
    masks = padded([rows[text][2] for text in texts], batch_first=True)
    assert masks.shape[1] == longest, "the longest text sets the length"
    return {
        "generated": torch.stack([rows[text][0] for text in texts]),
        "text": padded([rows[text][1] for text in texts], batch_first=True),
        "text_mask": masks,
    }


def _tokens(parts: Mapping[str, Any], text: str, length: int | None) -> tuple[list[int], list[int]]:
    """Return the tokens of both encoders; nothing is cut."""
    if text and not text.strip():
        raise UsageError("a prompt is blank", advice="Say what is wanted, in words")
    made = []
    for name in ("tokenizer", "tokenizer_2"):
        tokenizer = parts[name]
        most = tokenizer.model_max_length
        numbers = tokenizer(text, verbose=False).input_ids
        if len(numbers) > min(most, length or most if name == "tokenizer_2" else most):
            raise UsageError(
                f"a prompt is too long: {len(numbers)} tokens, at most {most} can be heard",
                where=text if len(text) <= 60 else f"{text[:57]}...",
                advice="Shorten it",
            )
        made.append(numbers)
    return made[0], made[1]


@torch.no_grad()
def _encode(
    parts: Mapping[str, Any], tokens: list[tuple[list[int], list[int]]], size: int,
    device: torch.device,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:  # fmt: skip
    """Encode texts whose T5 tokens are padded to one size; returns one row for each."""
    ids, mask = _padded([first for first, _ in tokens], parts["tokenizer"].pad_token_id, device)
    found = parts["text_encoder"].get_text_features(input_ids=ids, attention_mask=mask)
    # since transformers 5 the projected vector is a field of the result
    vector = getattr(found, "pooler_output", found)[:, None]
    ids, mask = _padded(
        [second for _, second in tokens], parts["tokenizer_2"].pad_token_id, device, size
    )
    sequence = parts["text_encoder_2"](input_ids=ids, attention_mask=mask)[0]
    projected = parts["projection_model"](
        hidden_states=vector, hidden_states_1=sequence,
        attention_mask=mask.new_ones(len(tokens), 1), attention_mask_1=mask,
    )  # fmt: skip
    states = _continued(parts["language_model"], projected)
    return states.to(vector.dtype), sequence, mask.bool()


def _continued(model: Any, projected: Any) -> torch.Tensor:
    """Return the states that the language model adds to a sequence, fed back one by one."""
    heard, mask, cache, states = projected.hidden_states, projected.attention_mask, None, []
    for _ in range(getattr(model.config, "max_new_tokens", None) or _STATES):
        # the body alone: nobody asks for words
        told = model.transformer(
            inputs_embeds=heard, attention_mask=mask, past_key_values=cache, use_cache=True
        )
        heard, cache = told.last_hidden_state[:, -1:], told.past_key_values
        states.append(heard)
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
    return torch.cat(states, dim=1)


def _padded(
    rows: list[list[int]], filler: int, device: torch.device, size: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return token numbers and mask, integers [B, L]."""
    size = max(size, *map(len, rows))
    ids = torch.full((len(rows), size), filler)
    mask = torch.zeros_like(ids)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
        mask[i, : len(row)] = 1
    return ids.to(device), mask.to(device)
