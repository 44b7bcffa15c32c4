"""Runs as YAML: read with every key and type checked, and written so that they read back equal."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

from autocompress.data.config import DataConfig, without_effect
from autocompress.errors import ConfigError
from autocompress.io.seal import SEAL, check_seal
from autocompress.pipeline.config import RunConfig
from autocompress.pipeline.inferring import inferred
from autocompress.pipeline.safe_yaml import compose, read_text
from autocompress.pipeline.stream import StreamRun
from autocompress.pipeline.values import NodeReader, as_values, make_config

__all__ = ["read_config", "read_recipe", "to_yaml"]


def to_yaml(config: RunConfig | StreamRun) -> str:
    """Return the resolved config as YAML, with all keys including defaults."""
    return yaml.safe_dump(as_values(config), sort_keys=False)


def read_config(path: Path) -> RunConfig:
    """Return the run that a YAML file describes; missing keys have their defaults.

    Raises:
        ConfigError: The file is missing or not YAML, or a key or value is invalid.
    """
    given = inferred(read_recipe(path, RunConfig))[0]
    if (path.parent / SEAL).exists():  # earlier versions took and stored what has no effect
        data = given.get("data", {})
        for key in without_effect(data.get("task", DataConfig.task)):
            data.pop(key, None)
    return make_config(RunConfig, given)


def read_recipe(path: Path, config: type) -> dict[str, Any]:
    """Return the options of a config class that a YAML file gives, with sections as mappings.

    The file is treated as data: nothing that it names is built, imported or opened.

    Args:
        path: The file.
        config: The config class, :class:`RunConfig` or :class:`StreamRun`.

    Raises:
        ConfigError: The file is not UTF-8 of at most 64 KiB, not YAML, or nested or expanded too
            far; a key does not exist or occurs twice; or an option does not take its value. The
            message names the line.
        CheckpointError: The file belongs to a run and was altered since the run wrote it.
    """
    text = read_text(path) if os.path.exists(path) else ""  # size-limited, before it is hashed
    check_seal(path)  # also reports a file that is missing from its run
    node = compose(text or read_text(path), str(path))
    if node is None:
        raise ConfigError(f"{path} holds no options; to take all defaults, leave it out")
    found: dict[str, Any] = NodeReader(str(path)).read(node, config)
    return found
