"""Parts shared by several verbs: positional options, and a network's data."""

from __future__ import annotations

from dataclasses import field
from pathlib import Path
from typing import Any

from autocompress.data import DataConfig, Splits, load_data
from autocompress.data.reading import hub_unasked
from autocompress.errors import ConfigError
from autocompress.pipeline import data_for, find_run, read_config

__all__ = ["data_of", "model", "place"]


def place(words: str, **default: Any) -> Any:
    """Declare an option that is given by position; ``words`` explain it in the help."""
    return field(metadata={"help": words}, **default)


def model() -> Any:
    """Declare the option that names the network."""
    return place("run folder, or folder of a saved network")


def data_of(path: Path, given: DataConfig | None) -> Splits:
    """Load the data named on the command line, or those of the run that ``path`` belongs to."""
    if given is None:
        run = find_run(path)
        if run is None:
            raise ConfigError(f"{path} belongs to no run: name the data, e.g. --data.name digits")
        given = read_config(run / "config.yaml").data
        with hub_unasked(given.name, run / "config.yaml"):
            return load_data(data_for(given, str(path)))
    return load_data(data_for(given, str(path)))  # texts use the network's own tokenizer
