"""Build a network from a ModelConfig and data: a new one, a converted one, or existing weights."""

from __future__ import annotations

from typing import Any

import torch

from autocompress.conversion import Converted
from autocompress.conversion.texts import for_classes, positions_of
from autocompress.data import SequenceSplits, Splits, TextSplits
from autocompress.depth import cut
from autocompress.errors import ConfigError
from autocompress.models import Encoder
from autocompress.network import Network, build, list_models, load, model_class
from autocompress.pipeline.class_names import check_order
from autocompress.pipeline.config import ModelConfig
from autocompress.pipeline.hosts import converted
from autocompress.pipeline.sizes import check_size
from autocompress.pipeline.starts import check_weights, saved_folder

__all__ = ["build_network"]


def build_network(model: ModelConfig, data: Splits, seed: int) -> Network:
    """Return the network for these data, with weights drawn from ``seed``.

    Raises:
        ConfigError: The options, data or weights do not fit together.
    """
    own = {**data.arguments, **model.constructor_arguments()}
    if model.init is None and model.source is None:
        check_size(_for_task(model.name, data), own, model.rule())
    torch.manual_seed(seed)
    if model.init is not None:
        net = _initial(model, model.init, data)
    elif model.source is not None:
        net = _connected(model, converted(model.source, model.arguments, data))
    else:
        net = build(model.name, connectivity=model.rule(), **own)
    net.preprocess = _prepared(net, data)
    data.meaning.tell(net)
    if isinstance(data, TextSplits):
        net.tokenizer = data.tokenizer.text
        _check_places(net, data)
    return net


def _prepared(net: Network, data: Splits) -> dict[str, Any]:
    """Return the ``preprocess``: statistics of existing weights, image size as in the data."""
    if net.preprocess is None or isinstance(data, TextSplits):
        return net.preprocess or data.preprocess
    known = ("scale", "mean", "std")
    return {**data.preprocess, **{k: v for k, v in net.preprocess.items() if k in known}}


def _for_task(name: str, data: Splits) -> str:
    if data.task not in model_class(name).tasks:
        fit = [known for known in list_models() if data.task in model_class(known).tasks]
        raise ConfigError(
            f"model.name {name!r} is for {', '.join(model_class(name).tasks)}; data.task is "
            f"{data.task}: take {' or '.join(fit)}"
        )
    return name


def _initial(model: ModelConfig, init: str, data: Splits) -> Network:
    """Return the network that provides the initial weights, cut to its first ``depth`` blocks."""
    check_weights(init)
    if init.startswith("timm:"):
        return _connected(model, converted(init, {"pretrained": True, **model.arguments}, data))
    if init.startswith("hf:"):
        return _connected(model, converted(init, model.arguments, data))
    net = load(saved_folder(init))
    net = _with_head(net, init, data) if isinstance(data, TextSplits) else net
    if isinstance(data, SequenceSplits):
        _check_sequences(net, init, data)
    if net.classes != len(data.classes) and data.task not in ("masked-lm", "causal-lm"):
        raise ConfigError(f"{init} has {net.classes} classes, the data {len(data.classes)}")
    check_order(data, net.class_names, init)
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
    """Return a pretrained network with the head for its task; only classification changes it."""
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


def _connected(model: ModelConfig, net: Network) -> Network:
    """Return the network cut to its depth, with the run's rule; a rule that it has is kept.

    Weights that such a rule has learned are not in its config.
    """
    if model.depth is not None:
        net = cut(net, model.depth)
    rule = model.rule()
    if any(trunk.connectivity.to_config() != rule for trunk in net.trunks):
        net.set_connectivity(rule)
    return net


def _check_places(net: Network, data: TextSplits) -> None:
    """Raise ConfigError if the network has too few tokens or positions for the data."""
    vocabulary, rows = net.config.get("vocabulary"), net.config.get("length")
    if isinstance(net, Converted):
        host: Any = net.model
        said = host.config.to_dict()
        vocabulary, rows = said["vocab_size"], positions_of(type(host).__name__, said)
    vocabulary, rows = vocabulary or data.tokenizer.size, rows or data.length
    if data.tokenizer.size > vocabulary:
        raise ConfigError(
            f"the tokenizer {data.tokenizer.name} has {data.tokenizer.size} tokens, the network's "
            f"vocabulary {vocabulary}: take the tokenizer that it was trained with (data.tokenizer)"
        )
    if data.length > rows:
        raise ConfigError(f"data.length {data.length}: the network has positions for {rows} tokens")
