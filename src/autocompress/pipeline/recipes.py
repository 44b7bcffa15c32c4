"""Runs as YAML: read with every key and type checked, written so that reading gives the same."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

import yaml

from autocompress.errors import ConfigError, nearest
from autocompress.pipeline.config import RunConfig
from autocompress.pipeline.stream import StreamRun

__all__ = ["explain", "option_keys", "read_config", "to_yaml"]


def to_yaml(config: RunConfig | StreamRun) -> str:
    """The config, resolved: all keys, defaults too."""
    return yaml.safe_dump(_plain(asdict(config)), sort_keys=False)


def read_config(path: Path) -> RunConfig:
    """The run that a YAML file describes; keys that it leaves out have their defaults.

    Raises:
        ConfigError: no such file, not YAML, or a key or value that is not legal.
    """
    from jsonargparse import ArgumentError, ArgumentParser

    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(RunConfig, None)
    try:
        parsed = parser.instantiate(parser.parse_path(str(path)))
    except (ArgumentError, TypeError, OSError) as error:
        raise ConfigError(f"{path}: {explain(str(error), option_keys(RunConfig))}") from error
    return RunConfig(**{field.name: parsed[field.name] for field in fields(RunConfig)})


def option_keys(config: type, prefix: str = "") -> Iterator[str]:
    """All dotted keys of a config class: ``fit.epochs``, ``fit.anneal.start``, .."""
    hints = get_type_hints(config)
    for field in fields(config):
        key = f"{prefix}{field.name}"
        yield key
        for part in (hints[field.name], *get_args(hints[field.name])):
            if isinstance(part, type) and is_dataclass(part):
                yield from option_keys(part, f"{key}.")


def explain(message: str, known: Iterator[str]) -> str:
    """A parser's message with the nearest legal name, on few lines.

    >>> explain("unrecognized arguments: --fit.epoch 3", iter(["fit.epochs", "fit.lr"]))
    "unknown option 'fit.epoch'; did you mean 'fit.epochs'? (known: fit.epochs, fit.lr)"
    """
    found = re.search(
        r"(?:unrecognized arguments: --|Key '|[Oo]ption ')([\w.]+)(?:'|[ =]|$)", message
    )
    if found is None:
        return message
    wrong, keys = found[1], list(known)
    where = re.search(r'Parser key "([\w.]+)"', message)
    if where and not wrong.startswith(where[1]):
        wrong = f"{where[1]}.{wrong}"
    section = wrong.rpartition(".")[0]
    near = [key for key in keys if key.rpartition(".")[0] == section]
    return f"unknown option {wrong!r}{nearest(wrong, near or keys)}"


def _plain(value: Any) -> Any:
    """Tuples as lists, which is what YAML has."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
