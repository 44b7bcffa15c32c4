"""Make batches of the form that the config of a transformers model describes."""

from __future__ import annotations

import contextlib
from typing import Any

import torch
from torch import Tensor

__all__ = ["height_and_width", "short_texts", "signals", "usual"]


def short_texts(host: Any) -> dict[str, Tensor]:
    """Return two short texts, the first of which ends in padding."""
    config = host.config.get_text_config()
    length = max(2, min(7, getattr(config, "max_position_embeddings", 9) - 2))
    vocabulary = getattr(config, "vocab_size", 2)
    ids = torch.randint(min(3, vocabulary - 1), vocabulary, (2, length), device=host.device)
    mask = torch.ones_like(ids)
    mask[0, -(length // 3) :] = 0
    return {"input_ids": ids, "attention_mask": mask}


def signals(host: Any) -> list[Tensor]:
    """Return images, sounds and videos of the shapes that a host's config describes."""
    config = getattr(host.config, "vision_config", host.config)
    found = []
    with contextlib.suppress(AttributeError, TypeError):
        sides = height_and_width(config.image_size)
        found.append(torch.randn(1, config.num_channels, *sides, device=host.device))
    with contextlib.suppress(AttributeError, TypeError):
        frames = 2 * config.max_source_positions
        found.append(torch.randn(1, config.num_mel_bins, frames, device=host.device))
    with contextlib.suppress(AttributeError, TypeError):  # spectrograms, frames first
        found.append(torch.randn(1, config.max_length, config.num_mel_bins, device=host.device))
    if host.main_input_name == "input_values":
        found.append(torch.randn(1, 16_000, device=host.device))
    with contextlib.suppress(AttributeError, TypeError):  # videos
        shape = (config.num_frames, config.num_channels, *height_and_width(config.image_size))
        found.append(torch.randn(1, *shape, device=host.device))
    return found


def usual(host: Any, batch: int) -> list[Tensor]:
    """Return images, sounds or tokens of the size that a host's config says, if it does."""
    config, device = host.config, host.device
    with contextlib.suppress(AttributeError, TypeError):
        if host.main_input_name == "pixel_values":
            sides = height_and_width(config.image_size)
            return [torch.randn(batch, config.num_channels, *sides, device=device)]
        if host.main_input_name == "input_features":
            frames = 2 * config.max_source_positions
            return [torch.randn(batch, config.num_mel_bins, frames, device=device)]
        length = min(16, getattr(config, "max_position_embeddings", 16))
        return [torch.randint(3, config.vocab_size, (batch, length), device=device)]
    return []


def height_and_width(size: Any) -> tuple[int, ...]:
    """Return the sides that a size in a config means: one number is that of a square."""
    return tuple(size) if isinstance(size, (tuple, list)) else (size, size)
