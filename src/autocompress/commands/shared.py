"""The data of a network, as several verbs read them."""

from __future__ import annotations

import sys
from pathlib import Path

from autocompress.data import DataConfig, Splits, load_data
from autocompress.data.reading import hub_unasked
from autocompress.errors import ConfigError
from autocompress.network import Network
from autocompress.pipeline import data_for, find_run, read_config
from autocompress.pipeline.class_names import in_order_of
from autocompress.pipeline.fingerprint import changes_since

__all__ = ["data_of", "warn_of_overlap"]


def data_of(path: Path, given: DataConfig | None, net: Network) -> Splits:
    """Load the data named on the command line, or those of the run that ``path`` belongs to.

    A note on standard error says if the data of the run have changed since it began, or if the
    images have another size than those of the training, which a convolutional network takes, too.

    Args:
        path: The run folder, or the folder of the network.
        given: Data that were named on the command line.
        net: The network, whose class names say which label is which output.

    Raises:
        ConfigError: The network belongs to no run, or does not know a class of the data.
    """
    data = in_order_of(_loaded(path, given), net.class_names, str(path))
    _note_size(net, data)
    return data


def _loaded(path: Path, given: DataConfig | None) -> Splits:
    if given is None:
        run = find_run(path)
        if run is None:
            raise ConfigError(f"{path} belongs to no run: name the data, e.g. --data.name digits")
        given = read_config(run / "config.yaml").data
        with hub_unasked(given.name, run / "config.yaml"):
            data = load_data(data_for(given, str(path)))
        _note_changes(run, data)
        return data
    return load_data(data_for(given, str(path)))  # texts use the network's own tokenizer


def _note_changes(run: Path, data: Splits) -> None:
    changed = changes_since(run, data)
    if changed:
        _note(
            f"the data {data.name} have changed since the run in {run} began "
            f"({'; '.join(changed)}). What follows is measured on them as they are now, and the "
            "network may have been trained on some of these examples"
        )


def _note_size(net: Network, data: Splits) -> None:
    trained = (net.preprocess or {}).get("size")
    found = getattr(data.validation, "shape", ())[1:]
    if trained and found and list(trained) != list(found):
        here, there = (" x ".join(map(str, size)) for size in (found, trained))
        _note(
            f"the images of {data.name} have {here} pixels here, and the network was trained with "
            f"{there}: --data.image_size resizes them, as acn predict does"
        )


def _note(words: str) -> None:
    print(f"acn: note: {words}", file=sys.stderr, flush=True)


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
    _note(
        f"the {data.sizes[split]:,} examples of {split} are {origin}. A network that "
        "was trained on some of them scores too high here: name the split that it was trained "
        "with (--data.validation, --data.seed), or score data that it has not seen"
    )


def _division(data: DataConfig) -> list[object]:
    """Return what decides which examples are split off: the data set, and how it is divided."""
    options = ("validation", "seed", "train_limit", "validation_limit", "test_split", "classes")
    place = Path(data.name)
    name = str(place.resolve()) if place.exists() else data.name
    return [name, *(getattr(data, option) for option in options)]
