"""Convert networks of other libraries for the data of a run."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from autocompress.conversion import convert
from autocompress.conversion.sources import checkpoint_of, image_arguments
from autocompress.conversion.texts import from_checkpoint, text_arguments, text_source
from autocompress.data import SequenceSplits, Splits, TextSplits
from autocompress.errors import ConfigError
from autocompress.network import Network

__all__ = ["converted"]


def converted(source: str, given: Mapping[str, Any], data: Splits) -> Network:
    """Return the residual network of a source for these data.

    Raises:
        ConfigError: There is no such source, or it does not suit these data.
    """
    if isinstance(data, TextSplits):
        return _text_host(source, given, data)
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
        raise ConfigError(f"{source} is not a classifier; e.g. hf:ViTForImageClassification is one")
    return net


def _text_host(source: str, given: Mapping[str, Any], data: TextSplits) -> Network:
    classes = len(data.classes)
    checkpoint = checkpoint_of(source)
    if checkpoint is not None:
        if given:
            raise ConfigError(f"model.arguments cannot be changed: {source} has its own")
        return from_checkpoint(checkpoint, data.task, classes)
    tokenizer = data.tokenizer
    source = text_source(source, data.task)
    fitted = text_arguments(
        source, data.task, tokenizer.size, tokenizer.special, data.length, classes
    )
    return convert(source, "residual", arguments={**fitted, **given})
