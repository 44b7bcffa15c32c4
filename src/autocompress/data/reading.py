"""Sets that ``datasets`` reads: a parquet file, a folder of them, a folder of images, the hub."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from autocompress.data import columns
from autocompress.data.config import DataConfig
from autocompress.data.decode import Decoder
from autocompress.data.registry import RawSplits, list_datasets, registered
from autocompress.data.sources import StreamSource
from autocompress.errors import DataError, nearest

__all__ = ["read_dataset"]

_SPLITS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing"),
}
_HUB_NAME = re.compile(r"(?P<path>[\w-][\w.-]*/[\w.-]+)(:(?P<config>[\w.+-]+))?")


def read_dataset(config: DataConfig) -> RawSplits:
    """The set that ``config.name`` says, as sources that decode when asked.

    Raises:
        UnknownNameError: a plain word that is no registered name.
        DataError: a path that does not exist, a hub set that cannot be had, or contents that
            cannot be used.
    """
    splits = _load(config.name)
    found = _by_role(splits)
    if "train" not in found:
        raise DataError(f"{config.name} has no train split, but {', '.join(splits) or 'nothing'}")
    features = found["train"].features
    image = columns.image_column(features, config.image_column)
    label = columns.label_column(features, config.label_column)
    labels, notes = {}, {}
    for role, rows in found.items():
        if len(rows) == 0:
            raise DataError(f"the {role} split of {config.name} is empty")
        labels[role] = columns.read_labels(rows, label, role)
        if role != "train" and bool((labels[role] < 0).all()):  # the hub's way to hide labels
            notes[role] = f"the set's {role} split is unlabelled ({int(labels[role][0])})"
            del labels[role]
    encoded = {role: _Encoded(found[role], image) for role in labels}
    first = encoded["train"][[0]][0]
    decoder = Decoder.like(first, config.channels, config.image_size, "image 0 of train")
    sources = {role: StreamSource(encoded[role], labels[role], decoder, role) for role in labels}
    classes = columns.class_names(features[label], labels["train"])
    return RawSplits(classes=classes, notes=notes, **sources)


class _Encoded:
    """The image column of a ``datasets.Dataset``, its cells as they are stored."""

    def __init__(self, rows: Any, column: str) -> None:
        from datasets import Image

        self._rows = rows.select_columns([column]).cast_column(column, Image(decode=False))
        self._column = column

    def __getitem__(self, indices: list[int]) -> list[dict[str, Any]]:
        cells: list[dict[str, Any]] = self._rows[indices][self._column]
        return cells


def _by_role(splits: dict[str, Any]) -> dict[str, Any]:
    """The splits under our names, train first; others are left out."""
    found: dict[str, Any] = {}
    for role, names in _SPLITS.items():
        for name in names:
            if name in splits:
                found.setdefault(role, splits[name])
    return found


# -- finding it ------------------------------------------------------------------------------------


def _load(name: str) -> dict[str, Any]:
    path = Path(name).expanduser()
    if path.is_file():
        if path.suffix != ".parquet":
            raise DataError(f"{name} is a file, but no .parquet file; a folder of images works too")
        return _parquet(name, {"train": [path]})
    if path.is_dir():
        return _folder(name, path)
    hub = _HUB_NAME.fullmatch(name)
    if hub:
        return _open(name, hub["path"], hub["config"], hub=True)
    if "/" not in name and path.suffix != ".parquet":
        registered(name)  # raises: a plain word that nothing is known by
    beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    raise DataError(
        f"no file or folder {name!r}{nearest(path.name, beside)}; a data set is one of "
        f"{', '.join(list_datasets())}, a .parquet file, a folder, or a hub name (owner/name)"
    )


def _folder(name: str, path: Path) -> dict[str, Any]:
    files = sorted(path.glob("*.parquet")) or sorted(path.glob("data/*.parquet"))
    if not files:
        if next(path.iterdir(), None) is None:
            raise DataError(f"the folder {name} is empty")
        return _open(name, "imagefolder", data_dir=str(path))
    by_role = {
        role: [f for f in files if re.split(r"[-_.]", f.stem)[0] in names]
        for role, names in _SPLITS.items()
    }
    if not by_role["train"]:
        raise DataError(
            f"the folder {name} has no train.parquet or train-*.parquet, but "
            f"{', '.join(f.name for f in files[:10])}"
        )
    return _parquet(name, {role: shards for role, shards in by_role.items() if shards})


def _parquet(name: str, by_role: dict[str, list[Path]]) -> dict[str, Any]:
    """Shards by role; those without a row are left out, as ``datasets`` stumbles over them."""
    from pyarrow import ArrowException  # type: ignore[import-untyped]
    from pyarrow.parquet import read_metadata  # type: ignore[import-untyped]

    used: dict[str, list[str]] = {}
    for role, shards in by_role.items():
        for shard in shards:
            try:
                filled = read_metadata(shard).num_rows > 0
            except (ArrowException, OSError) as error:
                reason = str(error).strip().splitlines()[0]
                raise DataError(f"{shard} cannot be read as parquet: {reason}") from None
            if filled:
                used.setdefault(role, []).append(str(shard))
        if role not in used:
            raise DataError(f"the {role} split of {name} is empty")
    return _open(name, "parquet", data_files=used)


def _open(name: str, *arguments: Any, hub: bool = False, **options: Any) -> dict[str, Any]:
    """``datasets.load_dataset``, its errors in one line."""
    import datasets

    with _quiet():
        try:
            splits: dict[str, Any] = dict(datasets.load_dataset(*arguments, **options))
        except (ConnectionError, datasets.exceptions.DatasetNotFoundError) as error:
            raise DataError(_unreachable(name, error)) from None
        except Exception as error:  # whatever a broken file makes its many readers raise
            cause = error.__cause__ or error
            words = str(cause).strip().splitlines() or [""]
            kind = "the hub's data set" if hub else "the data set"
            raise DataError(
                f"{kind} {name} cannot be read: {type(cause).__name__}: {words[0]}"
            ) from None
    return splits


def _unreachable(name: str, error: Exception) -> str:
    offline = isinstance(error, ConnectionError)
    problem = "the hub could not be reached" if offline else "the hub has no such data set"
    return (
        f"data set {name!r}: {problem} (and no such path exists here); without the hub there are "
        f"{', '.join(list_datasets())}, local .parquet files and folders of images"
        f"{nearest(name.split('/')[-1], list_datasets())}"
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """``datasets`` without bars and log lines (errors are raised here); as it was, afterwards."""
    import datasets

    shown, verbosity = not datasets.are_progress_bars_disabled(), datasets.logging.get_verbosity()
    if shown:
        datasets.disable_progress_bars()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)
    try:
        yield
    finally:
        datasets.logging.set_verbosity(verbosity)
        if shown:
            datasets.enable_progress_bars()
