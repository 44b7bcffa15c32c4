"""Read what untrusted files declare about themselves, within limits, before anything is built."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from autocompress.errors import CheckpointError

__all__ = [
    "HASH",
    "Header",
    "check_sizes",
    "read_bounded",
    "read_header",
    "read_json",
    "sha256",
    "text_sha256",
]

#: Size limits in bytes of config.json, tokenizer.json and the header of model.safetensors.
CONFIG_BYTES, TOKENIZER_BYTES, HEADER_BYTES = 8 << 20, 64 << 20, 16 << 20

#: Key in the metadata of model.safetensors for the hash of config.json.
HASH = "config_sha256"

#: Largest nesting of lists and mappings in a config.json.
NESTING = 64

#: Longest whole number in a JSON file, in characters; a seed has up to 20.
_MOST_DIGITS = 100

#: Lower limit of the bound on sizes in a config.json; the largest tensor dimension may raise it.
SIZE = 1 << 16

#: Parts of the names of options that are not the size of a tensor or of a loop: computed positions
#: (rotations), token numbers, windows. Buffers built from them are bounded when they are built.
_NO_SIZES = ("position", "theta", "token_id", "window", "length", "seed", "temperature")


@dataclass(frozen=True)
class Header:
    """The content list of a safetensors file.

    Attributes:
        path: The file.
        shapes: Shape of each tensor, by name.
        floating: Names of the tensors of floats or complex numbers.
        metadata: The file's own texts.
        size: Total bytes of all tensors.
    """

    path: Path
    shapes: Mapping[str, tuple[int, ...]]
    floating: frozenset[str]
    metadata: Mapping[str, str]
    size: int

    @cached_property
    def aliases(self) -> dict[str, str]:
        """Return the names of shared tensors that are not stored, with the stored name of each."""
        return {
            name: kept
            for name, kept in self.metadata.items()
            if kept in self.shapes and name not in self.shapes
        }

    @cached_property
    def largest(self) -> int:
        """Return the largest dimension of any tensor."""
        return max((size for shape in self.shapes.values() for size in shape), default=0)


def read_bounded(path: Path, limit: int) -> bytes:
    """Return the bytes of a regular file.

    Raises:
        FileNotFoundError: The file does not exist.
        OSError: The file cannot be read.
        CheckpointError: It is not a regular file (a pipe would never end), or has more than
            ``limit`` bytes.
    """
    check_regular(path)
    with os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise CheckpointError(
            f"{path} has more than {limit >> 20} MiB, which no {path.name} of this library needs"
        )
    return data


def check_regular(path: Path) -> None:
    """Raise CheckpointError if something exists at ``path`` and is not a regular file.

    Raises:
        OSError: Nothing exists there, or links lead nowhere.
    """
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        raise CheckpointError(f"{path} is {_kind(mode)}, not a file")


def _kind(mode: int) -> str:
    kinds = {stat.S_ISDIR: "a folder", stat.S_ISFIFO: "a named pipe", stat.S_ISSOCK: "a socket"}
    return next((words for test, words in kinds.items() if test(mode)), "a device")


def read_json(path: Path, limit: int = CONFIG_BYTES) -> Any:
    """Return the value of a JSON file, refusing duplicate keys, NaN, deep nesting and huge numbers.

    Raises:
        FileNotFoundError: The file does not exist.
        CheckpointError: The file is damaged, too large, or no regular file.
    """
    try:
        value = json.loads(
            read_bounded(path, limit).decode("utf-8"),
            object_pairs_hook=_each_once,
            parse_constant=_refuse,
            parse_int=_whole,
        )
        _check_nesting(value)
    except FileNotFoundError:
        raise
    except RecursionError:
        raise CheckpointError(
            f"{path} is truncated or damaged: nested more than {NESTING} deep"
        ) from None
    except (OSError, ValueError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{path} is truncated or damaged: {error}") from error
    return value


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key!r} occurs twice in it")
        found[key] = value
    return found


def _refuse(word: str) -> Any:
    raise ValueError(f"{word} is not JSON")


def _whole(digits: str) -> int:
    """Return the number, which a float can hold as well, so that any check may compare it."""
    if len(digits) > _MOST_DIGITS:
        raise ValueError(f"a number of {len(digits)} digits ({digits[:8]}...)")
    return int(digits)


def _check_nesting(value: Any) -> None:
    level = [value]
    for _ in range(NESTING):
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return
    raise RecursionError


def _inside(value: Any) -> list[Any]:
    """Return the lists and mappings directly inside a list or mapping."""
    values = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [inner for inner in values if isinstance(inner, (dict, list))]


def read_header(path: Path) -> Header:
    """Return the content list of a safetensors file without reading a tensor.

    Raises:
        CheckpointError: The file is missing, no regular file, truncated, damaged, or larger than
            this machine's memory.
    """
    try:
        check_regular(path)
        with path.open("rb") as file:
            total = os.fstat(file.fileno()).st_size
            length = int.from_bytes(file.read(8), "little")
            if total < 8 or length > min(HEADER_BYTES, total - 8):
                raise SafetensorError(f"a header of {length} bytes in a file of {total}")
            text = file.read(length)
        with safe_open(path, framework="pt"):  # checks offsets and sizes of all tensors
            pass
        found: dict[str, Any] = json.loads(text, object_pairs_hook=_each_once)
        metadata = found.pop("__metadata__", None) or {}
        shapes = {name: tuple(entry["shape"]) for name, entry in found.items()}
        floating = frozenset(n for n, entry in found.items() if entry["dtype"][0] in "FBC")
        floating -= {name for name in floating if found[name]["dtype"] == "BOOL"}
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing: the saved network is not complete") from None
    except CheckpointError:
        raise
    except (OSError, ValueError, RecursionError, SafetensorError) as error:
        raise CheckpointError(
            f"{path} is truncated or damaged; get or save it again ({error})"
        ) from error
    _check_memory(path, total)
    return Header(path, shapes, floating, metadata, total - 8 - length)


def _check_memory(path: Path, size: int) -> None:
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return
    if size > memory:
        raise CheckpointError(
            f"{path} has {size >> 30} GiB of weights, and this machine {memory >> 30} GiB of memory"
        )


def check_sizes(options: Mapping[str, Any], header: Header, path: Path) -> None:
    """Raise CheckpointError if a number in config.json is too large for the tensors of the weights.

    A depth of a billion would otherwise be built, layer by layer, before the check of the weights.

    Args:
        options: Values of config.json.
        header: Header of the weights beside it.
        path: Path of config.json, named in the message.
    """
    depth, tensors = options.get("depth"), len(header.shapes)
    if isinstance(depth, int) and depth > tensors:
        raise CheckpointError(
            f"{path} has depth {depth}, and {header.path.name} lists {tensors} tensors, "
            "fewer than one for each layer"
        )
    limit = max(SIZE, header.largest)
    for key, value in _numbers(options):
        if abs(value) > limit and not any(part in key for part in _NO_SIZES):
            raise CheckpointError(
                f"{path} has {key} {value}, and no tensor of {header.path.name} is larger than "
                f"{header.largest} in any dimension"
            )


def _numbers(value: Any, key: str = "") -> Iterator[tuple[str, int]]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _numbers(inner, str(name))
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _numbers(inner, key)
    elif isinstance(value, int) and not isinstance(value, bool):
        yield key, value


def text_sha256(text: str) -> str:
    """Return the SHA-256 of a file that holds this text, in hexadecimal."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def sha256(path: Path) -> str:
    """Return the file's SHA-256 in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
