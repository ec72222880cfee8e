"""Where networks are: the processor, or a GPU that must be there."""

from __future__ import annotations

import torch

from segue.core.errors import ConfigError

__all__ = ["usable_device"]


def usable_device(device: str) -> str:
    """Return `device`.

    Raises:
        ConfigError: it is not on this machine.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            "device = 'cuda', but torch sees no GPU here", advice="Leave it out to learn on the CPU"
        )
    return device
