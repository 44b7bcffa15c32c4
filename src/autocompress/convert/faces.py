"""How a host is called and what of its output are logits: by library, never by model."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from autocompress.errors import ConfigError

__all__ = ["Face", "PlainFace", "TimmFace", "TransformersFace", "comes_from", "face_of"]


class Face(Protocol):
    """What :class:`Converted` asks of a host beyond its layers."""

    def call(self, model: nn.Module, x: Any) -> Tensor:
        """Logits (or the last hidden state) of a batch."""

    def example(self, model: nn.Module, batch: int) -> Any:
        """A batch of the shape that the host takes."""

    def classes(self, model: nn.Module) -> int | None:
        """Outputs of the head, where it classifies."""

    def shorten(self, model: nn.Module, depth: int) -> None:
        """Tell the host, which has been cut, how deep it is now."""


def comes_from(model: nn.Module, package: str) -> bool:
    """Whether the class of ``model``, or one that it derives from, is of this package."""
    return any(cls.__module__.split(".")[0] == package for cls in type(model).__mro__)


def face_of(model: nn.Module, example: Any = None) -> Face:
    """The face of the library that ``model`` comes from.

    Args:
        model: the host.
        example: a batch that it takes, for a host of no library that we know.
    """
    if comes_from(model, "transformers"):
        return TransformersFace()
    if comes_from(model, "timm"):
        return TimmFace()
    return PlainFace(example)


class PlainFace:
    """A module of the user's own: called with the batch, it returns a tensor.

    Args:
        inputs: a batch that it takes; :meth:`example` is noise of that shape.
    """

    def __init__(self, inputs: Any = None) -> None:
        self.inputs = inputs

    def call(self, model: nn.Module, x: Any) -> Tensor:
        out = model(**x) if isinstance(x, Mapping) else model(x)
        return cast(Tensor, out)

    def example(self, model: nn.Module, batch: int) -> Any:
        if self.inputs is None:
            raise ConfigError("nobody said what this network takes: convert(..., example=batch)")
        device = next(model.parameters()).device
        if isinstance(self.inputs, Mapping):
            return {key: _rows(value, batch).to(device) for key, value in self.inputs.items()}
        return _rows(self.inputs, batch).to(device)

    def classes(self, model: nn.Module) -> int | None:
        return None

    def shorten(self, model: nn.Module, depth: int) -> None:
        for module in model.modules():
            if isinstance(module, nn.TransformerEncoder):
                module.num_layers = len(module.layers)


def _rows(tensor: Tensor, batch: int) -> Tensor:
    return tensor[torch.arange(batch, device=tensor.device) % len(tensor)]


class TimmFace(PlainFace):
    """Images in, logits out."""

    def example(self, model: nn.Module, batch: int) -> Any:
        channels, height, width = _image_shape(model)
        return torch.randn(batch, channels, height, width, device=next(model.parameters()).device)

    def classes(self, model: nn.Module) -> int | None:
        return getattr(model, "num_classes", None) or None


def _image_shape(model: nn.Module) -> tuple[int, int, int]:
    configured: Any = getattr(model, "pretrained_cfg", None) or {}
    channels, *sides = configured.get("input_size", (3, 224, 224))
    size = getattr(getattr(model, "patch_embed", None), "img_size", None)
    height, width = sides if size is None else size
    return getattr(model, "in_chans", channels), height, width


#: Configs' words for the number of layers, where a cut has to be written down.
_DEPTHS = ("num_hidden_layers", "encoder_layers")


class TransformersFace:
    """A transformers model: a tensor is its main input; logits, or else the last hidden state."""

    def call(self, model: nn.Module, x: Any) -> Tensor:
        host: Any = model
        inputs = dict(x) if isinstance(x, Mapping) else {host.main_input_name: x}
        if "use_cache" in inspect.signature(host.forward).parameters:
            inputs.setdefault("use_cache", False)
        out = host(**inputs)
        for name in ("logits", "last_hidden_state"):
            found = getattr(out, name, None)
            if found is not None:
                return cast(Tensor, found)
        raise ConfigError(
            f"{type(host).__name__} returns {', '.join(out)} and no logits, so its depths have no "
            "one score; net.model is called as ever, and a class with one head can be probed"
        )

    def example(self, model: nn.Module, batch: int) -> Any:
        host: Any = model
        config, device = host.config, host.device
        if host.main_input_name == "pixel_values":
            size = config.image_size
            height, width = size if isinstance(size, (tuple, list)) else (size, size)
            return torch.randn(batch, config.num_channels, height, width, device=device)
        if host.main_input_name == "input_features":
            frames = 2 * config.max_source_positions
            return torch.randn(batch, config.num_mel_bins, frames, device=device)
        length = min(16, getattr(config, "max_position_embeddings", 16))
        return torch.randint(3, config.vocab_size, (batch, length), device=device)

    def classes(self, model: nn.Module) -> int | None:
        config: Any = model.config
        name = type(model).__name__
        if name.endswith("Classification"):
            return int(config.num_labels)
        return int(config.vocab_size) if "LM" in name else None

    def shorten(self, model: nn.Module, depth: int) -> None:
        seen = set()
        for module in model.modules():
            config: Any = getattr(module, "config", None)
            if config is None or id(config) in seen:
                continue
            seen.add(id(config))
            for word in _DEPTHS:
                if hasattr(config, word):
                    setattr(config, word, depth)
                    break
            if getattr(config, "layer_types", None):
                config.layer_types = config.layer_types[:depth]
            if getattr(config, "stage_names", None):  # a backbone's: one name per layer
                config.stage_names = config.stage_names[: depth + 1]
                config.set_output_features_output_indices(out_features=None, out_indices=None)
