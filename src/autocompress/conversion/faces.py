"""How a host is called and what of its output are logits: by library, never by model."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from autocompress.conversion.host import HostTrunk
from autocompress.errors import ConfigError

__all__ = ["Face", "PlainFace", "TimmFace", "TransformersFace", "comes_from", "face_of"]


class Face(Protocol):
    """What :class:`Converted` asks of a host beyond its layers."""

    def call(self, model: nn.Module, x: Any) -> Tensor:
        """Logits (or the last hidden state) of a batch."""

    def output(self, model: nn.Module, x: Any) -> Any:
        """All that the host returns of a batch."""

    def example(self, model: nn.Module, batch: int) -> Any:
        """A batch of the shape that the host takes."""

    def tiny(self, model: nn.Module) -> Sequence[Any]:
        """Small batches of which a host of this library takes at least one, best first."""

    def classes(self, model: nn.Module) -> int | None:
        """Outputs of the head, where it classifies."""

    def objective(self, model: nn.Module) -> str:
        """Name of what the host's outputs are trained for."""

    def shorten(self, model: nn.Module, depth: int) -> None:
        """Tell the host, which has been cut, how deep it is now."""


def comes_from(model: nn.Module, package: str) -> bool:
    """Whether the class of ``model``, or one that it derives from, is of this package."""
    return any(cls.__module__.split(".")[0] == package for cls in type(model).__mro__)


def face_of(model: nn.Module, example: Any = None) -> Face:
    """The face of the library that ``model`` comes from.

    Args:
        model: The host.
        example: A batch that it takes, for a host of no library that we know.
    """
    if comes_from(model, "transformers"):
        return TransformersFace()
    if comes_from(model, "timm"):
        return TimmFace()
    return PlainFace(example)


class PlainFace:
    """A module of the user's own: called with the batch, it returns a tensor.

    Args:
        inputs: A batch that it takes; :meth:`example` is noise of that shape.
    """

    def __init__(self, inputs: Any = None) -> None:
        self.inputs = inputs

    def call(self, model: nn.Module, x: Any) -> Tensor:
        return cast(Tensor, self.output(model, x))

    def output(self, model: nn.Module, x: Any) -> Any:
        return model(**x) if isinstance(x, Mapping) else model(x)

    def example(self, model: nn.Module, batch: int) -> Any:
        if self.inputs is None:
            raise ConfigError("nobody said what this network takes: convert(..., example=batch)")
        device = next(model.parameters()).device
        if isinstance(self.inputs, Mapping):
            return {key: _rows(value, batch).to(device) for key, value in self.inputs.items()}
        return _rows(self.inputs, batch).to(device)

    def tiny(self, model: nn.Module) -> Sequence[Any]:
        return []

    def classes(self, model: nn.Module) -> int | None:
        return None

    def objective(self, model: nn.Module) -> str:
        return "classification"

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

    def tiny(self, model: nn.Module) -> Sequence[Any]:
        image = self.example(model, 1).to(next(model.parameters()).dtype)
        return [image[..., :64, :64], image]

    def classes(self, model: nn.Module) -> int | None:
        return getattr(model, "num_classes", None) or None


def _image_shape(model: nn.Module) -> tuple[int, int, int]:
    configured: Any = getattr(model, "pretrained_cfg", None) or {}
    channels, *sides = configured.get("input_size", (3, 224, 224))
    found = [getattr(module, "img_size", None) for module in model.modules()]
    size = next((size for size in found if size is not None), sides)
    height, width = size if isinstance(size, (tuple, list)) else (size, size)
    first = next((m for m in model.modules() if isinstance(m, nn.Conv2d)), None)
    channels = channels if first is None else first.in_channels
    return getattr(model, "in_chans", channels), height, width


def _text(host: Any) -> dict[str, Tensor]:
    """Two short texts, the first of which ends in padding."""
    config = host.config.get_text_config()
    length = max(2, min(7, getattr(config, "max_position_embeddings", 9) - 2))
    vocabulary = getattr(config, "vocab_size", 2)
    ids = torch.randint(min(3, vocabulary - 1), vocabulary, (2, length), device=host.device)
    mask = torch.ones_like(ids)
    mask[0, -(length // 3) :] = 0
    return {"input_ids": ids, "attention_mask": mask}


def _signals(host: Any) -> list[Tensor]:
    """Images, sounds and videos of the forms that a host's config tells of."""
    config = getattr(host.config, "vision_config", host.config)
    found = []
    with contextlib.suppress(AttributeError, TypeError):
        size = config.image_size
        sides = size if isinstance(size, (tuple, list)) else (size, size)
        found.append(torch.randn(1, config.num_channels, *sides, device=host.device))
    with contextlib.suppress(AttributeError, TypeError):
        frames = 2 * config.max_source_positions
        found.append(torch.randn(1, config.num_mel_bins, frames, device=host.device))
    with contextlib.suppress(AttributeError, TypeError):  # spectrograms, frames first
        found.append(torch.randn(1, config.max_length, config.num_mel_bins, device=host.device))
    if host.main_input_name == "input_values":
        found.append(torch.randn(1, 16_000, device=host.device))
    with contextlib.suppress(AttributeError, TypeError):  # videos
        size, frames = config.image_size, config.num_frames
        sides = size if isinstance(size, (tuple, list)) else (size, size)
        found.append(torch.randn(1, frames, config.num_channels, *sides, device=host.device))
    return found


#: Configs' words for the number of layers, where a cut has to be written down.
_DEPTHS = ("num_hidden_layers", "encoder_layers")


#: The problem types of transformers, as objectives.
_OBJECTIVES = {
    "single_label_classification": "classification",
    "multi_label_classification": "multi-label",
    "regression": "regression",
}


class TransformersFace:
    """A transformers model: a tensor is its main input; logits, or else the last hidden state."""

    def call(self, model: nn.Module, x: Any) -> Tensor:
        out = self.output(model, x)
        for name in ("logits", "last_hidden_state"):
            found = getattr(out, name, None)
            if found is not None:
                return cast(Tensor, found)
        raise ConfigError(
            f"{type(model).__name__} returns {', '.join(map(str, out))} and no logits, so its "
            "depths have no one score; net.model is called as ever, and a class with one head can "
            "be probed"
        )

    def output(self, model: nn.Module, x: Any) -> Any:
        host: Any = model
        inputs = dict(x) if isinstance(x, Mapping) else {host.main_input_name: x}
        if "use_cache" in inspect.signature(host.forward).parameters:
            inputs.setdefault("use_cache", False)
        return host(**inputs)

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

    def tiny(self, model: nn.Module) -> Sequence[Any]:
        """Texts of two rows, one with padding at its end; an image; a second of sound; or two."""
        host: Any = model
        text = _text(host)
        signals = [x.to(host.dtype) for x in _signals(host)]
        if host.main_input_name != "input_ids":
            name = host.main_input_name
            plain: list[dict[str, Any]] = [{name: x} for x in signals]
            return [*plain, *({**x, "decoder_input_ids": text["input_ids"][:1]} for x in plain)]
        ids = text["input_ids"]
        choices = {name: value[:, None].repeat(1, 2, 1) for name, value in text.items()}
        both = [{**text, "pixel_values": x.expand(2, -1, -1, -1)} for x in signals if x.dim() == 4]
        return [text, {"input_ids": ids}, choices, *both, {**text, "decoder_input_ids": ids}]

    def classes(self, model: nn.Module) -> int | None:
        config: Any = model.config
        name = type(model).__name__
        if name.endswith("Classification"):
            return int(config.num_labels)
        return int(config.vocab_size) if "LM" in name else None

    def objective(self, model: nn.Module) -> str:
        """As the losses of transformers choose: by the class, then by ``config.problem_type``.

        Raises:
            ConfigError: A problem type that transformers does not have.
        """
        config: Any = model.config
        name = type(model).__name__
        if "CausalLM" in name or "LMHead" in name:
            return "next token"
        if not name.endswith("Classification") or "Token" in name:
            return "classification"
        kind = getattr(config, "problem_type", None)
        if kind is None:  # then transformers looks at the labels, where there are several outputs
            return "regression" if config.num_labels == 1 else "open"
        if kind not in _OBJECTIVES:
            raise ConfigError(
                f"problem_type {kind!r} is none that transformers has: {', '.join(_OBJECTIVES)}"
            )
        return _OBJECTIVES[kind]

    def shorten(self, model: nn.Module, depth: int) -> None:
        for config in _configs_above(model):
            word = next((word for word in _DEPTHS if hasattr(config, word)), None)
            if word is None or getattr(config, word) == depth:
                continue
            setattr(config, word, depth)
            if getattr(config, "layer_types", None):
                config.layer_types = config.layer_types[:depth]
            if getattr(config, "stage_names", None):  # a backbone's: one name per layer
                config.stage_names = config.stage_names[: depth + 1]
                config.set_output_features_output_indices(out_features=None, out_indices=None)


def _configs_above(model: nn.Module) -> list[Any]:
    """The configs of the modules that hold a trunk; another tower's is not among them."""
    found: dict[int, Any] = {}
    for path, module in model.named_modules():
        if isinstance(module, HostTrunk):
            parts = path.split(".")
            above = [model.get_submodule(".".join(parts[:n])) for n in range(len(parts))]
            held = [getattr(one, "config", None) for one in above]
            found |= {id(config): config for config in held if config is not None}
    return list(found.values())
