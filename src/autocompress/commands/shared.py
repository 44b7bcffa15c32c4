"""The data of a network, as several verbs read them."""

from __future__ import annotations

import sys
from pathlib import Path

from autocompress.data import DataConfig, Splits, load_data
from autocompress.data.reading import hub_unasked
from autocompress.errors import ConfigError
from autocompress.pipeline import data_for, find_run, read_config

__all__ = ["data_of", "warn_of_overlap"]


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


def warn_of_overlap(path: Path, given: DataConfig | None, data: Splits, split: str) -> None:
    """Warn on standard error if the network may have been trained on the examples of a split.

    A split that the data set lacks is drawn from its training data. If it is drawn in another way
    than the network's own run did, or if there is no run to tell, the network knows some of these
    examples, and its scores on them are too high.

    Args:
        path: The network.
        given: Data that were named on the command line; None means those of the network's run.
        data: The data as loaded.
        split: Name of the split.
    """
    origin = data.description.get("origin", {}).get(split, "")
    if given is None or " of train" not in origin:
        return
    run = find_run(path)
    if run is not None and _division(read_config(run / "config.yaml").data) == _division(given):
        return
    print(
        f"acn: note: the {data.sizes[split]:,} examples of {split} are {origin}. A network that "
        "was trained on some of them scores too high here: name the split that it was trained "
        "with (--data.validation, --data.seed), or score data that it has not seen",
        file=sys.stderr,
        flush=True,
    )


def _division(data: DataConfig) -> list[object]:
    """Return what decides which examples are split off: the data set, and how it is divided."""
    options = ("validation", "seed", "train_limit", "validation_limit", "test_split", "classes")
    place = Path(data.name)
    name = str(place.resolve()) if place.exists() else data.name
    return [name, *(getattr(data, option) for option in options)]
