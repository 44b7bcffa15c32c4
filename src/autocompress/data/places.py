"""Find a data set by its name among the places that a user has given."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from autocompress.errors import ConfigError

__all__ = ["locate", "shown_name"]


def shown_name(name: str) -> str:
    """Return the name of a data set as it is shown: a path in the working directory is relative.

    Example:
        >>> shown_name(str(Path.cwd() / "photos")), shown_name("digits"), shown_name("/data/cats")
        ('photos', 'digits', '/data/cats')
    """
    path = Path(name)
    inside = path.is_absolute() and path != Path.cwd() and path.is_relative_to(Path.cwd())
    return str(path.relative_to(Path.cwd())) if inside else name


def locate(name: str, places: Sequence[str]) -> str:
    """Return the place of the data set ``name``.

    Args:
        name: Name on the hub, such as ``uoft-cs/cifar10``, or of a bundled set.
        places: Places, each of which is a folder with sets named by the last part of their names
            or by that of one in a collection (``sst2`` for ``nyu-mll/glue:sst2``), or the set
            itself (a folder of that name), or ``NAME=PLACE``. Any other place stands for every set
            that no other place has. Without places the name itself is returned.

    Raises:
        ConfigError: Several places could stand for any set.

    Example:
        >>> locate("uoft-cs/cifar10", ["/data/cifar10"]), locate("digits", [])
        ('/data/cifar10', 'digits')
        >>> locate("uoft-cs/cifar10", ["cifar10=digits"])
        'digits'
        >>> locate("nyu-mll/glue:sst2", ["/data/sst2"])
        '/data/sst2'
    """
    hub, _, part = name.partition(":")
    short = hub.rpartition("/")[2]
    names = [part, short] if part else [short]
    others = []
    for place in places:
        key, equals, value = place.partition("=")
        if equals:
            if key in (name, *names):
                return value
            continue
        if Path(place).name in names:
            return place
        held = [str(Path(place) / known) for known in names if (Path(place) / known).exists()]
        if held:
            return held[0]
        others.append(place)
    loose = [place for place in others if not _is_library(Path(place))]
    if len(loose) > 1:
        raise ConfigError(
            f"--data {' '.join(loose)}: which of them is {name}? Say {names[0]}=PLACE"
        )
    return loose[0] if loose else name


def _is_library(folder: Path) -> bool:
    """Return whether a folder holds data sets: it has folders, but no parquet file and no split."""
    if not folder.is_dir():
        return False
    names = {path.name for path in folder.iterdir()}
    one = {"train", "test"} & names or any(n.endswith(".parquet") for n in names)
    return not one
