"""Call a host and find the logits in its output: per library, never per model."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, cast

import torch
from torch import Tensor, nn

from autocompress.checks import rows_of
from autocompress.conversion.host import HostTrunk
from autocompress.conversion.inputs import height_and_width, short_texts, signals, usual
from autocompress.errors import ConfigError

__all__ = [
    "Interface",
    "comes_from",
    "image_shape",
    "inner_host",
    "interface_of",
    "is_known",
    "is_transformer",
]


def comes_from(model: nn.Module, package: str) -> bool:
    """Return whether ``model``'s class, or one of its base classes, is from this package."""
    return any(cls.__module__.split(".")[0] == package for cls in type(model).__mro__)


def is_adapted(model: nn.Module) -> bool:
    """Return whether ``model`` is a host in PEFT's wrapper, with adapters."""
    return comes_from(model, "peft") and hasattr(type(model), "get_base_model")


def inner_host(model: nn.Module) -> nn.Module:
    """Return the host inside PEFT's wrapper; return other models unchanged."""
    return cast(nn.Module, cast(Any, model).get_base_model()) if is_adapted(model) else model


def is_transformer(model: nn.Module) -> bool:
    """Return whether ``model`` is one of transformers, rather than a wrapper with a common base."""
    return comes_from(model, "transformers") and hasattr(type(model), "main_input_name")


def interface_of(model: nn.Module, example: Any = None) -> Interface:
    """Return the interface for the library that ``model``, or the host in PEFT's wrapper, is of.

    Args:
        model: The host.
        example: A batch that it takes, for a host of an unknown library.
    """
    host = inner_host(model)
    if comes_from(host, "sentence_transformers"):
        return SentenceInterface()
    if is_transformer(host):
        return TransformersInterface()
    if comes_from(host, "timm"):
        return TimmInterface()
    return Interface(example)


def is_known(model: nn.Module) -> bool:
    """Return whether ``model`` is of a library with its own interface, or in PEFT's wrapper."""
    return is_adapted(model) or type(interface_of(model)) is not Interface


class Interface:
    """The interface through which :class:`Converted` uses a host, besides its layers.

    This one is for a user's module, which is called with the batch and returns a tensor.

    Args:
        inputs: A batch that it takes; :meth:`examples` returns its rows.
    """

    def __init__(self, inputs: Any = None) -> None:
        self.inputs = inputs

    def call(self, model: nn.Module, x: Any) -> Tensor:
        """Return the logits (or the last hidden state) of a batch."""
        out = self.output(model, x)
        if not isinstance(out, Tensor):
            raise ConfigError(
                f"{type(model).__name__} returns a {type(out).__name__}, and a network returns its "
                "logits as one tensor: convert a module that does; net.model can be called as usual"
            )
        return out

    def output(self, model: nn.Module, x: Any) -> Any:
        """Return the host's complete output for a batch."""
        return model(**x) if isinstance(x, Mapping) else model(x)

    def examples(self, model: nn.Module, batch: int) -> Sequence[Any]:
        """Return batches of the host's input shape, best first; it may not take all of them."""
        if self.inputs is None:
            raise ConfigError(
                "the inputs of this network are unknown: convert it with an example, "
                "convert(..., example=batch)"
            )
        device = next(model.parameters()).device
        if isinstance(self.inputs, Mapping):
            return [{key: _rows(value, batch).to(device) for key, value in self.inputs.items()}]
        return [_rows(self.inputs, batch).to(device)]

    def tiny(self, model: nn.Module) -> Sequence[Any]:
        """Return small batches, best first, one of which a host of a known library takes."""
        return []

    def classes(self, model: nn.Module) -> int | None:
        """Return the number of classes, if the head is a classifier."""
        return None

    def objective(self, model: nn.Module) -> str:
        """Return the name of the objective of the host's outputs."""
        return "classification"

    def shorten(self, model: nn.Module, depth: int) -> None:
        """Update the recorded depth of a host that has been cut."""
        for module in model.modules():
            if isinstance(module, nn.TransformerEncoder):
                module.num_layers = len(module.layers)


def _rows(tensor: Tensor, batch: int) -> Tensor:
    return tensor[torch.arange(batch, device=tensor.device) % len(tensor)]


class TimmInterface(Interface):
    """The interface of timm's models: images to logits."""

    def examples(self, model: nn.Module, batch: int) -> Sequence[Any]:
        channels, height, width = image_shape(model)
        return [torch.randn(batch, channels, height, width, device=next(model.parameters()).device)]

    def tiny(self, model: nn.Module) -> Sequence[Any]:
        image = self.examples(model, 1)[0].to(next(model.parameters()).dtype)
        return [image[..., :64, :64], image]

    def classes(self, model: nn.Module) -> int | None:
        return getattr(model, "num_classes", None) or None


def image_shape(model: nn.Module) -> tuple[int, int, int]:
    """Return (C, H, W) of the images that a timm model takes."""
    configured: Any = getattr(model, "pretrained_cfg", None) or {}
    channels, *sides = configured.get("input_size", (3, 224, 224))
    found = [getattr(module, "img_size", None) for module in model.modules()]
    size = next((size for size in found if size is not None), sides)
    height, width = height_and_width(size)
    first = next((m for m in model.modules() if isinstance(m, nn.Conv2d)), None)
    channels = channels if first is None else first.in_channels
    return getattr(model, "in_chans", channels), height, width


#: Names of the number of layers in configs where a cut must be recorded.
_DEPTHS = ("num_hidden_layers", "encoder_layers")

#: Names of lists in configs with one entry per layer.
_LISTS = ("layer_types", "attention_layers")


#: The problem types of transformers and their objectives.
_OBJECTIVES = {
    "single_label_classification": "classification",
    "multi_label_classification": "multi-label",
    "regression": "regression",
}


def _takes(forward: Any, name: str) -> bool:
    return name in inspect.signature(forward).parameters


#: The same, remembered: the inspection takes as long as a small layer. Not for the compiler.
_known_to_take = lru_cache(maxsize=64)(_takes)


class TransformersInterface(Interface):
    """The interface of transformers models: logits, or otherwise the last hidden state."""

    def call(self, model: nn.Module, x: Any) -> Tensor:
        host: Any = model
        inputs = self._inputs(model, x)
        if not getattr(host.config, "return_dict", True):
            inputs["return_dict"] = True  # a tuple does not say which of its values are logits
        if _host_takes(host, "output_router_logits"):
            # a loss is made of them that a read, which runs no layers, has no part in
            inputs["output_router_logits"] = False
        out = host(**inputs)
        for name in ("logits", "last_hidden_state"):
            found = getattr(out, name, None)
            if found is not None:
                return cast(Tensor, found)
        raise ConfigError(
            f"{type(model).__name__} returns {_names(out)} and no logits, so its "
            "depths have no single score: convert a class with one head to probe it; net.model can "
            "be called as usual"
        )

    def output(self, model: nn.Module, x: Any) -> Any:
        return model(**self._inputs(model, x))

    def _inputs(self, model: nn.Module, x: Any) -> dict[str, Any]:
        host: Any = model
        inputs = dict(x) if isinstance(x, Mapping) else {host.main_input_name: x}
        if _host_takes(host, "use_cache"):
            inputs.setdefault("use_cache", False)
        return inputs

    def examples(self, model: nn.Module, batch: int) -> Sequence[Any]:
        """Return batches as a host's config describes them, then small ones, repeated."""
        host: Any = inner_host(model)
        found, main = usual(host, batch), host.main_input_name
        with torch.random.fork_rng(devices=[]):  # the random state is that of one batch
            tiny = [rows_of(one, range(batch)) for one in self.tiny(model)]
        return [*found, *(one[main] if set(one) == {main} else one for one in tiny)]

    def tiny(self, model: nn.Module) -> Sequence[Any]:
        """Return two short texts with padding; an image; a second of sound; or pairs of these."""
        host: Any = inner_host(model)
        text = short_texts(host)
        found = [x.to(host.dtype) for x in signals(host)]
        if host.main_input_name != "input_ids":
            name = host.main_input_name
            plain: list[dict[str, Any]] = [{name: x} for x in found]
            return [*plain, *({**x, "decoder_input_ids": text["input_ids"][:1]} for x in plain)]
        ids = text["input_ids"]
        choices = {name: value[:, None].repeat(1, 2, 1) for name, value in text.items()}
        both = [{**text, "pixel_values": x.expand(2, -1, -1, -1)} for x in found if x.dim() == 4]
        return [text, {"input_ids": ids}, choices, *both, {**text, "decoder_input_ids": ids}]

    def classes(self, model: nn.Module) -> int | None:
        host: Any = inner_host(model)
        config, name = host.config, type(host).__name__
        if name.endswith("Classification"):
            return int(config.num_labels)
        return int(config.vocab_size) if "LM" in name else None

    def objective(self, model: nn.Module) -> str:
        """Return the objective as transformers chooses losses: by class, then ``problem_type``.

        Raises:
            ConfigError: Transformers has no such problem type.
        """
        host: Any = inner_host(model)
        config, name = host.config, type(host).__name__
        if "CausalLM" in name or "LMHead" in name:
            return "next token"
        if not name.endswith("Classification") or "Token" in name:
            return "classification"
        kind = getattr(config, "problem_type", None)
        if kind is None:  # with several outputs, transformers then decides by the labels
            return "regression" if config.num_labels == 1 else "open"
        if kind not in _OBJECTIVES:
            raise ConfigError(
                f"problem_type {kind!r} is unknown to transformers, which has "
                f"{', '.join(_OBJECTIVES)}"
            )
        return _OBJECTIVES[kind]

    def shorten(self, model: nn.Module, depth: int) -> None:
        for config in _configs_above(model):
            word = next((word for word in _DEPTHS if hasattr(config, word)), None)
            if word is None or getattr(config, word) == depth:
                continue
            setattr(config, word, depth)
            for name in _LISTS:
                if getattr(config, name, None):
                    setattr(config, name, getattr(config, name)[:depth])
            if getattr(config, "attention_types", None):  # from which GPT-Neo makes that list
                config.attention_types = [[config.attention_layers, 1]]
            if getattr(config, "stage_names", None):  # a backbone has one name per layer
                config.stage_names = config.stage_names[: depth + 1]
                config.set_output_features_output_indices(out_features=None, out_indices=None)


def _host_takes(host: Any, name: str) -> bool:
    takes = _takes if torch.compiler.is_compiling() else _known_to_take
    return takes(getattr(host.forward, "__func__", host.forward), name)


def _names(out: Any) -> str:
    return ", ".join(out) if isinstance(out, Mapping) else f"a {type(out).__name__}"


def _configs_above(model: nn.Module) -> list[Any]:
    """Return the configs of the modules that hold a trunk, without those of other towers."""
    found: dict[int, Any] = {}
    for path, module in model.named_modules():
        if isinstance(module, HostTrunk):
            parts = path.split(".")
            above = [model.get_submodule(".".join(parts[:n])) for n in range(len(parts))]
            held = [getattr(one, "config", None) for one in above]
            found |= {id(config): config for config in held if config is not None}
    return list(found.values())


class SentenceInterface(Interface):
    """A SentenceTransformer: a mapping of its tokenizer's outputs in, sentence embeddings out."""

    def call(self, model: nn.Module, x: Any) -> Tensor:
        return cast(Tensor, self.output(model, x)["sentence_embedding"])

    def output(self, model: nn.Module, x: Any) -> Any:
        host: Any = model
        inputs = dict(x) if isinstance(x, Mapping) else {"input_ids": x}
        inputs.setdefault("attention_mask", torch.ones_like(inputs["input_ids"]))
        return host(inputs)

    def examples(self, model: nn.Module, batch: int) -> Sequence[Any]:
        host: Any = next(m for m in model.modules() if comes_from(m, "transformers"))
        return TransformersInterface().examples(host, batch)

    def tiny(self, model: nn.Module) -> Sequence[Any]:
        host: Any = next(m for m in model.modules() if comes_from(m, "transformers"))
        return [short_texts(host)]

    def shorten(self, model: nn.Module, depth: int) -> None:
        TransformersInterface().shorten(model, depth)
