"""From a ModelConfig and data to a network: a new one, a converted one, or weights that exist."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from autocompress.connectivity import resolve
from autocompress.conversion import Converted, convert
from autocompress.conversion.sources import image_arguments
from autocompress.conversion.texts import (
    checkpoint_tokenizer,
    for_classes,
    from_checkpoint,
    places,
    text_arguments,
    text_source,
)
from autocompress.data import (
    AugmentConfig,
    DataConfig,
    SequenceSplits,
    Splits,
    TextSplits,
    load_data,
    read_tokenizer,
)
from autocompress.data.text import DEFAULT_LENGTH
from autocompress.data.tokenizer import has_tokenizer
from autocompress.depth import cut
from autocompress.errors import ConfigError
from autocompress.io import saved_config
from autocompress.models import Encoder
from autocompress.network import Network, build, list_models, load, model_class
from autocompress.pipeline.sizes import check_size

if TYPE_CHECKING:
    from autocompress.pipeline.config import ModelConfig

__all__ = ["build_network", "data_for", "load_for", "saved_folder", "starts_residual"]


def build_network(model: ModelConfig, data: Splits, seed: int) -> Network:
    """The network for these data, its weights drawn from ``seed``; see :meth:`ModelConfig.build`.

    Raises:
        ConfigError: options, data or weights that do not go together.
    """
    own = {**data.arguments, **model.constructor_arguments()}
    if model.init is None and model.source is None:
        check_size(_for_task(model.name, data), own, model.rule())
    torch.manual_seed(seed)
    if model.init is not None:
        net = _initial(model, model.init, data)
    elif model.source is not None:
        net = _converted(model, model.source, model.arguments, data)
    else:
        net = build(model.name, connectivity=model.rule(), **own)
    net.preprocess = net.preprocess or data.preprocess
    if isinstance(data, TextSplits):
        net.tokenizer = data.tokenizer.text
        _check_places(net, data)
    return net


def saved_folder(init: str) -> Path:
    """The folder of a saved network: ``init`` itself, or the model of the run in it."""
    folder = Path(init)
    return folder / "model" if (folder / "model").is_dir() else folder


def starts_residual(init: str) -> bool:
    """Whether the weights at ``init`` are of a residual network, as others' checkpoints are."""
    if init.startswith(("timm:", "hf:")):
        return True
    said = saved_config(saved_folder(init))
    try:
        return resolve(said["connectivity"], said["depth"]).is_residual()
    except ConfigError:  # of a stage-wise network: a rule for each stage
        return False


def data_for(data: DataConfig, init: str | None) -> DataConfig:
    """``data``; of texts, with the tokenizer and the length of the network at ``init``.

    Raises:
        ConfigError: it names another tokenizer. DataError: there is none, or none that can be read.
    """
    if init is None or not data.is_text:
        return data
    if init.startswith(("timm:", "hf:")):
        if not _is_checkpoint(init):
            return data  # a class with new weights
        own, rows = checkpoint_tokenizer(init.removeprefix("hf:"))
    else:
        own = str(saved_folder(init))
        said = saved_config(Path(own))
        rows = said.get("length") or places(said.get("source", ""), said.get("arguments", {}))
    saved = has_tokenizer(own)
    if data.tokenizer is not None and saved:
        _check_same(data.tokenizer, own, init)
    tokenizer = own if saved or data.tokenizer is None else data.tokenizer
    return replace(
        data, tokenizer=tokenizer, length=data.length or min(DEFAULT_LENGTH, rows or DEFAULT_LENGTH)
    )


def load_for(data: DataConfig, augment: AugmentConfig, init: str | None) -> Splits:
    """The data of a run; texts by the tokenizer of the network that training starts from.

    Raises:
        ConfigError: another tokenizer than that network's, or texts to be augmented. Errors as
            :func:`load_data`.
    """
    if data.is_text and augment != AugmentConfig():
        raise ConfigError(f"augment is for images; data.task is {data.task!r}")
    loaded = load_data(data_for(data, init))
    if loaded.task != "image" and augment != AugmentConfig():
        raise ConfigError(f"augment is for images; {data.name!r} has none")
    return loaded


def _is_checkpoint(source: str) -> bool:
    """Whether a source is a transformers checkpoint, in a folder or on the hub."""
    kind, _, name = source.partition(":")
    return kind == "hf" and ("/" in name or Path(name).is_dir())


def _check_same(tokenizer: str, own: str, init: str) -> None:
    if read_tokenizer(tokenizer).core != read_tokenizer(own).core:
        raise ConfigError(
            f"data.tokenizer {tokenizer} is not that of {init}; leave it out to take its own"
        )


def _for_task(name: str, data: Splits) -> str:
    if data.task not in model_class(name).tasks:
        fit = [known for known in list_models() if data.task in model_class(known).tasks]
        raise ConfigError(
            f"model.name {name!r} is for {', '.join(model_class(name).tasks)}; data.task is "
            f"{data.task}: take {' or '.join(fit)}"
        )
    return name


def _initial(model: ModelConfig, init: str, data: Splits) -> Network:
    """The network whose weights are the start, its first ``depth`` blocks."""
    if init.startswith("timm:"):
        return _converted(model, init, {"pretrained": True, **model.arguments}, data)
    if init.startswith("hf:"):
        return _converted(model, init, model.arguments, data)
    net = load(saved_folder(init))
    net = _with_head(net, init, data) if isinstance(data, TextSplits) else net
    if isinstance(data, SequenceSplits):
        _check_sequences(net, init, data)
    if net.classes != len(data.classes) and data.task not in ("masked-lm", "causal-lm"):
        raise ConfigError(f"{init} has {net.classes} classes, the data {len(data.classes)}")
    return _connected(model, net)


def _check_sequences(net: Network, init: str, data: SequenceSplits) -> None:
    """Raise ConfigError for a network of other sequences, or of none."""
    _for_task(net.model_name, data)
    for key, wanted in data.arguments.items():
        if key != "classes" and net.config.get(key) != wanted:
            raise ConfigError(
                f"{init} has {key} {net.config.get(key)!r}, {data.name!r} with these options "
                f"{wanted!r}: start from a network that was trained on it, or leave model.init out"
            )


def _with_head(net: Network, init: str, data: TextSplits) -> Network:
    """A pretrained network with the head for its task; it has another only to classify."""
    if data.task == "text-classification":
        if isinstance(net, Encoder) and net.classes is None:
            return net.classifier(len(data.classes))
        if isinstance(net, Converted) and "Classification" not in str(net.config["source"]):
            return for_classes(net, len(data.classes))
    elif isinstance(net, Encoder) and net.classes is not None:
        raise ConfigError(f"{init} is a classifier; data.task {data.task} needs a pretraining head")
    if not isinstance(net, Converted):
        _for_task(net.model_name, data)
    return net


def _converted(model: ModelConfig, source: str, given: Mapping[str, Any], data: Splits) -> Network:
    """The source's network for such data, its first ``depth`` blocks."""
    if isinstance(data, TextSplits):
        return _connected(model, _text_host(source, given, data))
    if isinstance(data, SequenceSplits):
        raise ConfigError(
            f"{source} is of another library and {data.name!r} is for our own networks: take "
            "model.name, e.g. encoder"
        )
    channels, size, _ = data.train.shape
    *first, last = image_arguments(source, len(data.classes), size, channels)
    net: Network | None = None
    for fitted in first:
        with suppress(ConfigError):
            net = net or convert(source, "residual", arguments={**fitted, **given})
    net = net or convert(source, "residual", arguments={**last, **given})
    if net.classes != len(data.classes):
        raise ConfigError(f"{source} is no classifier; e.g. hf:ViTForImageClassification is one")
    return _connected(model, net)


def _text_host(source: str, given: Mapping[str, Any], data: TextSplits) -> Network:
    classes = len(data.classes)
    if _is_checkpoint(source):
        if given:
            raise ConfigError(f"model.arguments cannot be changed: {source} has its own")
        return from_checkpoint(source.removeprefix("hf:"), data.task, classes)
    tokenizer = data.tokenizer
    source = text_source(source, data.task)
    fitted = text_arguments(
        source, data.task, tokenizer.size, tokenizer.special, data.length, classes
    )
    return convert(source, "residual", arguments={**fitted, **given})


def _connected(model: ModelConfig, net: Network) -> Network:
    if model.depth is not None:
        net = cut(net, model.depth)
    net.set_connectivity(model.rule())
    return net


def _check_places(net: Network, data: TextSplits) -> None:
    """Raises ConfigError where the tokenizer's tokens or the rows do not fit into the network."""
    vocabulary, rows = net.config.get("vocabulary"), net.config.get("length")
    if isinstance(net, Converted):
        host: Any = net.model
        said = host.config.to_dict()
        vocabulary, rows = said["vocab_size"], places(type(host).__name__, said)
    vocabulary, rows = vocabulary or data.tokenizer.size, rows or data.length
    if data.tokenizer.size > vocabulary:
        raise ConfigError(
            f"the tokenizer {data.tokenizer.name} has {data.tokenizer.size} tokens, the network's "
            f"vocabulary {vocabulary}: take the tokenizer that it was trained with (data.tokenizer)"
        )
    if data.length > rows:
        raise ConfigError(f"data.length {data.length}: the network has places for {rows} tokens")
