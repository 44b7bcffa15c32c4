"""Load the data of a run; texts use the tokenizer of the network from which training starts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from autocompress.conversion.sources import checkpoint_of
from autocompress.conversion.texts import checkpoint_tokenizer, positions_of
from autocompress.data import AugmentConfig, DataConfig, Splits, load_data, read_tokenizer
from autocompress.data.text import DEFAULT_LENGTH
from autocompress.data.tokenizer import has_tokenizer
from autocompress.errors import ConfigError
from autocompress.io import saved_config
from autocompress.pipeline.class_names import in_order_of
from autocompress.pipeline.config import RunConfig
from autocompress.pipeline.starts import check_weights, saved_folder
from autocompress.pipeline.stream import StreamRun

__all__ = ["data_for", "load_for"]


def load_for(run: RunConfig | StreamRun) -> Splits:
    """Return the data of a run; texts use the tokenizer of the network that training starts from.

    Classes that this network knows by the same names are numbered as it numbers them.

    Raises:
        ConfigError: The tokenizer differs from that network's, or texts would be augmented.
        AutoCompressError: Any error of :func:`load_data`.
    """
    if run.data.is_text and run.augment != AugmentConfig():
        raise ConfigError(f"augment is for images; data.task is {run.data.task!r}")
    loaded = load_data(data_for(run.data, run.model.init))
    if loaded.task != "image" and run.augment != AugmentConfig():
        raise ConfigError(f"augment is for images; {run.data.name!r} has none")
    return _as_initial(loaded, run.model.init)


def _as_initial(data: Splits, init: str | None) -> Splits:
    """Return data whose classes, if they are those of our network at ``init``, are in its order."""
    if init is None or init.startswith(("timm:", "hf:")):
        return data
    names = saved_config(saved_folder(init)).get("class_names")
    if names is None or sorted(names) != sorted(data.classes):
        return data  # it learns other classes
    return in_order_of(data, names, init)


def data_for(data: DataConfig, init: str | None) -> DataConfig:
    """Return ``data``; for texts with the tokenizer and the length of the network at ``init``.

    Raises:
        ConfigError: The config names another tokenizer.
        DataError: There is no tokenizer, or it cannot be read.
    """
    if init is None or not data.is_text:
        return data
    check_weights(init)
    if init.startswith(("timm:", "hf:")):
        checkpoint = checkpoint_of(init)
        if checkpoint is None:
            return data  # timm names its own weights
        own, rows = checkpoint_tokenizer(checkpoint)
    else:
        own = str(saved_folder(init))
        said = saved_config(Path(own))
        if said.get("task") == "image":
            raise ConfigError(f"{init} takes pictures, and {data.name} holds texts: name pictures")
        rows = said.get("length") or positions_of(said.get("source", ""), said.get("arguments", {}))
    saved = has_tokenizer(own)
    if data.tokenizer is not None and saved:
        _check_same(data.tokenizer, own, init)
    tokenizer = own if saved or data.tokenizer is None else data.tokenizer
    return replace(
        data, tokenizer=tokenizer, length=data.length or min(DEFAULT_LENGTH, rows or DEFAULT_LENGTH)
    )


def _check_same(tokenizer: str, own: str, init: str) -> None:
    if read_tokenizer(tokenizer).core != read_tokenizer(own).core:
        raise ConfigError(
            f"data.tokenizer {tokenizer} is not that of {init}; leave it out to take its own"
        )
