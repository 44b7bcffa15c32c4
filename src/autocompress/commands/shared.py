"""The data of a network, as several verbs read them."""

from __future__ import annotations

from pathlib import Path

from autocompress.data import DataConfig, Splits, load_data
from autocompress.data.reading import hub_unasked
from autocompress.errors import ConfigError
from autocompress.pipeline import data_for, find_run, read_config

__all__ = ["data_of"]


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
