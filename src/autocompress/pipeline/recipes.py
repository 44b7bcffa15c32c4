"""Runs as YAML: read with every key and type checked, written so that reading gives the same."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

from autocompress.errors import ConfigError
from autocompress.io.seal import check_seal
from autocompress.pipeline.config import RunConfig
from autocompress.pipeline.safe_yaml import compose, read_text
from autocompress.pipeline.stream import StreamRun
from autocompress.pipeline.values import Reader, as_values, build

__all__ = ["read_config", "read_recipe", "to_yaml"]


def to_yaml(config: RunConfig | StreamRun) -> str:
    """The config, resolved: all keys, defaults too."""
    return yaml.safe_dump(as_values(config), sort_keys=False)


def read_config(path: Path) -> RunConfig:
    """Return the run that a YAML file describes; keys that it leaves out have their defaults.

    Raises:
        ConfigError: No such file, not YAML, or a key or value that is not legal.
    """
    return build(RunConfig, read_recipe(path, RunConfig))


def read_recipe(path: Path, config: type) -> dict[str, Any]:
    """Return the options that a YAML file gives of a config class; sections are mappings.

    Nothing of the file is built, imported or opened: what it holds is data.

    Args:
        path: The file.
        config: The config class, :class:`RunConfig` or :class:`StreamRun`.

    Raises:
        ConfigError: No file in UTF-8 of at most 64 KiB; no YAML; nested or expanded too far; a
            key that does not exist or stands twice; a value that its option does not take. The
            message names the line.
        CheckpointError: It is of a run, and was altered since the run wrote it.
    """
    text = read_text(path) if os.path.exists(path) else ""  # bounded, and before it is hashed
    check_seal(path)  # which names a file that is missing from its run
    node = compose(text or read_text(path), str(path))
    if node is None:
        raise ConfigError(f"{path} holds no options; to take all defaults, leave it out")
    found: dict[str, Any] = Reader(str(path)).read(node, config)
    return found
