"""Existing weights to start from: their folder, and whether they are of a residual network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from autocompress.connectivity import make_rule
from autocompress.conversion.sources import checkpoint_of
from autocompress.errors import ConfigError
from autocompress.io import saved_config

__all__ = ["check_weights", "starting_rule", "saved_folder", "starts_residual"]


def saved_folder(init: str) -> Path:
    """Return the folder of a saved network: ``init`` itself, or the model of the run in it."""
    folder = Path(init)
    return folder / "model" if (folder / "model").is_dir() else folder


def check_weights(init: str) -> None:
    """Raise ConfigError for a class of transformers, which would start from random weights."""
    kind, _, name = init.partition(":")
    if kind == "hf" and checkpoint_of(init) is None:
        raise ConfigError(
            f"model.init {init!r} names no weights: there is no folder {name!r} in {Path.cwd()}, "
            "and a name on the hub is hf:user/name, e.g. hf:google-bert/bert-base-uncased. "
            f"`hf download user/name --local-dir {name}` makes such a folder; --model.source "
            f"{init} trains a new network"
        )


def starts_residual(init: str) -> bool:
    """Return whether the weights at ``init`` are of a residual network, as foreign ones are."""
    check_weights(init)
    if init.startswith(("timm:", "hf:")):
        return True
    said = saved_config(saved_folder(init))
    try:
        return make_rule(said["connectivity"], said["depth"]).is_residual()
    except ConfigError:  # a stage-wise network has a rule for each stage
        return False


def starting_rule(init: str, depth: int | None) -> str | dict[str, Any]:
    """Return the connectivity of initial weights.

    Args:
        init: A run, a folder of a network, or a checkpoint.
        depth: Number of its first layers that are kept; None keeps all.

    Raises:
        ConfigError: It has another one in each stage, which no run can name.
    """
    if starts_residual(init):
        return "residual"
    said = saved_config(saved_folder(init))
    rule, layers = said["connectivity"], said["depth"]
    if isinstance(rule, str):
        return rule
    if rule["name"] == "stages":
        first, *others = rule["rules"]
        if any(other != first for other in others):
            raise ConfigError(
                f"{init} has another connectivity in each stage: name the one to train it with "
                "(model.connectivity)"
            )
        return dict(first)
    per_layer = [key for key, v in rule.items() if isinstance(v, list) and len(v) == layers]
    return {**rule, **{key: rule[key][:depth] for key in per_layer}}
