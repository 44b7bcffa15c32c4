"""Sets read by ``datasets``: files, folders of them, a folder of images, the hub."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from autocompress.data import columns
from autocompress.data.broken import check_rows, fitting_decoder, unreadable
from autocompress.data.config import DataConfig
from autocompress.data.files import IMAGES
from autocompress.data.folders import SPLITS, class_folder
from autocompress.data.image_files import raw_splits, read_image_folder
from autocompress.data.labels import encode_labels, kept_rows, unlabelled
from autocompress.data.listing import some
from autocompress.data.registry import RawSplits, list_datasets
from autocompress.data.sources import StreamSource
from autocompress.data.table_files import by_split, tables_of
from autocompress.data.tables import READERS, check_encoding, content_key, read_table
from autocompress.data.text_folders import has_classes_of_texts, read_text_folder
from autocompress.errors import DataError, UnknownNameError, nearest

__all__ = ["TEXT_FILES", "hub_unasked", "read_dataset", "read_splits", "splits_and_remarks"]

#: Readers by suffix: those of ``datasets``, and our own for tables in text files.
_IMAGE_FILES = {".parquet": "parquet"}
TEXT_FILES = {**_IMAGE_FILES, **READERS, ".txt": "text"}

_HUB_NAME = re.compile(r"(?P<path>[\w-][\w.-]*/[\w.-]+)(:(?P<config>[\w.+-]+))?")


def read_dataset(config: DataConfig) -> RawSplits:
    """Return the set that ``config.name`` names, as sources that decode on demand.

    Raises:
        UnknownNameError: A plain word is not a registered name.
        DataError: A path does not exist, a hub set is not available, or the content is unusable.
    """
    path = Path(config.name).expanduser()
    if path.is_dir():
        tables = tables_of(path, _IMAGE_FILES)
        if not tables:
            return read_image_folder(path, config)
        _check_no_folder(path, tables[0], config.name)
    found, remarks = splits_and_remarks(config.name)
    if config.skip_broken:
        found, left_out = kept_rows(found, _broken(found, config))
        remarks += left_out
    features = found["train"].features
    image = columns.image_column(features, config.image_column)
    label = columns.label_column(features, config.label_column, [image])
    if not config.skip_broken and any(unlabelled(rows, label) for rows in found.values()):
        _check_pictures(found, config)
    labels = encode_labels(found, label)
    for role in labels.numbers:
        if image not in found[role].features:
            raise DataError(f"the {role} split of {config.name} has no image column {image!r}")
    encoded = {role: _Encoded(found[role], image) for role in labels.numbers}
    count = len(labels.numbers["train"])
    decoder = fitting_decoder(encoded["train"], count, config.channels, config.image_size)
    sources = {
        role: StreamSource(encoded[role], numbers, decoder, role)
        for role, numbers in labels.numbers.items()
    }
    remarks = [*labels.remarks, *remarks]
    return raw_splits(sources, classes=labels.classes, notes=labels.notes, remarks=remarks)


def _check_pictures(found: dict[str, Any], config: DataConfig) -> None:
    """Raise DataError for pictures that cannot be read; rows without a label are named with them.

    Where labels alone are missing, those who read them say so.
    """
    bad = _broken(found, config)
    if any("no label" not in said for rows in bad.values() for said in rows.values()):
        check_rows(found, bad)


def _broken(found: dict[str, Any], config: DataConfig) -> dict[str, dict[int, str]]:
    """Return what the rows have whose image cannot be read or that have no label."""
    features = found["train"].features
    image = columns.image_column(features, config.image_column)
    label = columns.label_column(features, config.label_column, [image])
    decoder = fitting_decoder(
        _Encoded(found["train"], image), len(found["train"]), config.channels, config.image_size
    )
    pictures = {
        role: unreadable(_Encoded(rows, image), len(rows), decoder, role)
        for role, rows in found.items()
        if image in rows.features
    }
    return {
        role: dict.fromkeys(rows, "a picture that cannot be read") | unlabelled(found[role], label)
        for role, rows in pictures.items()
    }


def _check_no_folder(path: Path, table: Path, name: str) -> None:
    """Raise DataError if a folder of tables is also a whole set of images by class."""
    try:
        found = class_folder(path, name, IMAGES)
    except DataError:  # e.g. images for a readme
        return
    raise DataError(
        f"{name} holds {table.name} and images in folders ({some(found.classes)}): two data sets; "
        "name the file, or move one of them out"
    )


class _Encoded:
    """The image column of a ``datasets.Dataset``, with its cells as they are stored."""

    def __init__(self, rows: Any, column: str) -> None:
        from datasets import Image

        self._rows = rows.select_columns([column]).cast_column(column, Image(decode=False))
        self._column = column

    def __getitem__(self, indices: list[int]) -> list[dict[str, Any]]:
        cells: list[dict[str, Any]] = self._rows[indices][self._column]
        return cells


def read_splits(name: str, files: dict[str, str] = _IMAGE_FILES) -> dict[str, Any]:
    """Return the ``datasets.Dataset`` of each split under our names, train first, and no others.

    Args:
        name: A path or a hub name.
        files: Readers by the accepted suffixes.

    Raises:
        UnknownNameError, DataError: As for :func:`read_dataset`; or there is no train split, or
            it is empty.
    """
    return splits_and_remarks(name, files)[0]


def splits_and_remarks(
    name: str, files: dict[str, str] = _IMAGE_FILES
) -> tuple[dict[str, Any], list[str]]:
    """Return what :func:`read_splits` does, and remarks on what is left out."""
    splits, remarks = _load(name, files)
    found: dict[str, Any] = {}
    for role, names in SPLITS.items():
        for known in names:
            if known in splits:
                found.setdefault(role, splits[known])
    if "train" not in found:
        raise DataError(f"{name} has no train split, but {', '.join(splits) or 'nothing'}")
    for role, rows in found.items():
        if rows is None or len(rows) == 0:
            raise DataError(f"the {role} split of {name} is empty")
    others = [known for known, rows in splits.items() if all(rows is not r for r in found.values())]
    return found, remarks + ([f"splits left out: {some(others)}"] if others else [])


# -- finding it ------------------------------------------------------------------------------------


def _load(name: str, files: dict[str, str]) -> tuple[dict[str, Any], list[str]]:
    path = Path(name).expanduser()
    suffix = path.suffix.lower()
    if path.is_file():
        if suffix not in files:
            also = "" if ".txt" in files else "; a folder of images works too"
            raise DataError(f"{name} is a file, but no {_listed(files)} file{also}")
        return _files(name, files[suffix], {"train": [path]}), []
    if path.is_dir():
        return _folder(name, path, files)
    if path.exists():
        raise DataError(f"{name} is a pipe or a device; expected a file or a folder")
    hub = _HUB_NAME.fullmatch(name)
    if hub:
        return _open(name, hub["path"], hub["config"], hub=True), []
    inside = path.parent.iterdir() if path.parent.is_dir() else ()
    beside = [p.name for p in inside if not p.name.startswith(".")]
    close = get_close_matches(path.name, [*beside, *list_datasets()], n=1, cutoff=0.5)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    if "/" not in name and suffix not in files:
        error = UnknownNameError("data set", name, list_datasets())
        error.args = (
            f"no such file or folder: {name!r}{hint} (nor is there a data set of that name: "
            f"{', '.join(list_datasets())})",
        )
        raise error
    raise DataError(
        f"no such file or folder: {name!r}{hint}; a data set is "
        f"one of {', '.join(list_datasets())}, a {_listed(files)} file, a folder, or a hub name "
        "(owner/name)"
    )


def _listed(files: dict[str, str]) -> str:
    *most, last = files
    return f"{', '.join(most)} or {last}" if most else last


def _folder(name: str, path: Path, files: dict[str, str]) -> tuple[dict[str, Any], list[str]]:
    found = tables_of(path, files)
    if found:
        by_role, remarks = by_split(name, path, found, files)
        return _files(name, files[found[0].suffix.lower()], by_role), remarks
    if next(path.iterdir(), None) is None:
        raise DataError(f"the folder {name} is empty")
    if ".csv" in files and has_classes_of_texts(path):
        return read_text_folder(path, name)
    raise DataError(f"the folder {name} has no {_listed(files)} file")


def _files(name: str, reader: str, by_role: dict[str, list[Path]]) -> dict[str, Any]:
    """Read shards by split, each split separately, since their columns may differ.

    Empty shards are skipped because ``datasets`` fails on them.
    """
    filled = _has_rows if reader == "parquet" else _has_bytes
    used = {role: [s for s in shards if filled(s)] for role, shards in by_role.items()}
    for role, shards in used.items():
        if not shards:
            raise DataError(f"the {role} split of {name} is empty")
    return {role: _shard(name, reader, role, shards) for role, shards in used.items()}


def _shard(name: str, reader: str, role: str, shards: list[Path]) -> Any:
    if reader in READERS.values():
        with _quiet():
            return read_table(shards, reader)
    plain = {"sample_by": "paragraph", "encoding": "utf-8-sig"}
    options: dict[str, Any] = plain if reader == "text" else {}
    files = {role: [str(shard) for shard in shards]}
    try:
        key = content_key(shards, 1)
        return _open(name, reader, key, data_files=files, **options)[role]
    except DataError:
        if reader != "parquet":
            check_encoding(shards)
        raise


def _has_bytes(shard: Path) -> bool:
    return shard.stat().st_size > 0


def _has_rows(shard: Path) -> bool:
    from pyarrow import ArrowException  # type: ignore[import-untyped]
    from pyarrow.parquet import read_metadata  # type: ignore[import-untyped]

    try:
        return bool(read_metadata(shard).num_rows > 0)
    except (ArrowException, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise DataError(f"{shard} cannot be read as parquet: {reason}") from None


def _open(name: str, *arguments: Any, hub: bool = False, **options: Any) -> dict[str, Any]:
    """Call ``datasets.load_dataset`` and reduce its errors to one line."""
    import datasets

    with _quiet():
        try:
            splits: dict[str, Any] = dict(datasets.load_dataset(*arguments, **options))
        except (ConnectionError, datasets.exceptions.DatasetNotFoundError) as error:
            raise _UnreachableError(_unreachable(name, error)) from None
        except Exception as error:  # its many readers may raise anything on a broken file
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
        f"data set {name!r}: {problem} (and no such path exists here); without the hub, name a "
        "file or a folder on this machine, or a data set that comes with the library"
        f"{nearest(name.split('/')[-1], list_datasets())}"
    )


@contextmanager
def hub_unasked(name: str, where: Path) -> Iterator[None]:
    """Read a hub set only from this machine, since a file and not the user names it.

    This applies to the whole process.

    Args:
        name: Name of a data set; one that is not on the hub is read as usual.
        where: File that names it.

    Raises:
        DataError: The set was never downloaded.
    """
    if not _HUB_NAME.fullmatch(name) or Path(name).expanduser().exists():
        yield
        return
    import datasets
    from huggingface_hub import constants

    before = datasets.config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE
    datasets.config.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE = True
    try:
        yield
    except _UnreachableError as error:
        raise DataError(
            f"{where} names the data set {name!r} of the hub, which is not on this machine, and "
            f"no file makes this command download; if you want it: --data.name {name}"
        ) from error
    finally:
        datasets.config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE = before


class _UnreachableError(DataError):
    """A set is not on this machine and cannot be downloaded."""


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the bars and log lines of ``datasets`` and restore them afterwards.

    Its notification of its server, which it sends even for local files, is disabled as well.
    """
    import datasets

    counts = datasets.config.HF_UPDATE_DOWNLOAD_COUNTS
    datasets.config.HF_UPDATE_DOWNLOAD_COUNTS = False
    shown, verbosity = not datasets.are_progress_bars_disabled(), datasets.logging.get_verbosity()
    if shown:
        datasets.disable_progress_bars()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)
    try:
        yield
    finally:
        datasets.config.HF_UPDATE_DOWNLOAD_COUNTS = counts
        datasets.logging.set_verbosity(verbosity)
        if shown:
            datasets.enable_progress_bars()
