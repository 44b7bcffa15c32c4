"""A converted network as a folder of its host's own library, with what its tools need to answer."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from autocompress.conversion.converted import Converted
from autocompress.conversion.hf_preparation import files_beside
from autocompress.conversion.interfaces import comes_from, is_transformer
from autocompress.conversion.restoring import restore
from autocompress.errors import ConfigError
from autocompress.io.atomic import atomic_dir, write_json
from autocompress.io.card import Curve
from autocompress.io.schema import TOKENIZER

__all__ = ["save_host"]

#: What timm calls the number of layers of a network of one stage.
_DEPTHS = ("depth", "num_blocks", "num_layers")


def save_host(
    net: Converted,
    directory: str | os.PathLike[str],
    overwrite: bool = False,
    *,
    curve: Curve | None = None,
) -> None:
    """Write a converted network as its host's own library does.

    A transformers network is a checkpoint with its tokenizer and the settings of its pictures, so
    ``AutoModel...from_pretrained(directory)`` and ``pipeline(..., model=directory)`` open it. A
    timm network opens with ``timm.create_model("local-dir:DIRECTORY", pretrained=True)``. If the
    connectivity is residual, that needs nothing of this library, whatever depth was cut; otherwise
    autocompress has to be imported.

    Args:
        net: A network converted from transformers or timm.
        directory: Folder to create.
        overwrite: Whether to replace a folder with all its content.
        curve: The scores by depth, from :func:`autocompress.probe`, that the model card of a
            transformers network shows; a residual one is a plain checkpoint, without a card.

    Raises:
        ConfigError: The network is of another library, or has no card for the curve.
        OutputError: The folder exists, or cannot be written.
    """
    if not isinstance(net, Converted) or net.config["source"] == "own":
        raise ConfigError(
            "only a network converted from transformers or timm has a library whose folder could "
            "be written; autocompress.save writes ours"
        )
    plain = net.rule() == "residual"
    if curve is not None and (plain or not is_transformer(net.model)):
        raise ConfigError(
            "curve= is shown by the model card of a transformers network with long connections; "
            "this folder has none: leave it out, or write one with autocompress.save"
        )
    with atomic_dir(directory, overwrite) as temporary:
        if is_transformer(net.model):
            _write_transformers(net, temporary, {} if curve is None else {"curve": curve})
        elif comes_from(net.model, "timm"):
            _write_timm(net, temporary)


def _write_transformers(net: Converted, directory: Path, card: Mapping[str, Any]) -> None:
    host: Any = restore(net) if net.rule() == "residual" else net.model
    host.save_pretrained(directory, **card)
    for name, said in files_beside(net.tokenizer, net.preprocess).items():
        write_json(directory / name, said)
    if net.tokenizer is not None:
        (directory / TOKENIZER).write_text(net.tokenizer, encoding="utf-8")


def _write_timm(net: Converted, directory: Path) -> None:
    import timm

    host: Any = net.model
    arguments: dict[str, Any] = {}
    found = _plain_arguments(net) if net.rule() == "residual" else None
    if found is not None:
        host, arguments = restore(net), {"model_args": found}
    if net.class_names is not None:
        arguments["model_config"] = {"label_names": net.class_names}
    timm.models.save_for_hf(host, str(directory), safe_serialization=True, **arguments)


def _plain_arguments(net: Converted) -> dict[str, Any] | None:
    """Return timm's arguments for a plain model of this depth; None if it has none."""
    import timm

    name = str(net.config["source"]).partition(":")[2].removeprefix("acn_")
    given: Mapping[str, Any] = net.config["arguments"]
    known = {k: v for k, v in given.items() if k not in ("pretrained", "connectivity")}
    keys = _shapes(restore(net).state_dict())
    for more in ({}, *({key: net.depth} for key in _DEPTHS)):
        try:
            with torch.device("meta"):
                made = timm.create_model(name, **{**known, **more})
        except (TypeError, ValueError, RuntimeError, AssertionError):
            continue
        if _shapes(made.state_dict()) == keys:
            return {**{k: v for k, v in known.items() if k != "num_classes"}, **more}
    return None


def _shapes(state: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in state.items()}
