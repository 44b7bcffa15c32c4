"""config.json of a model folder: its keys, its formats, and the hash that protects it.

Format 2 has all keys of :data:`KEYS` and every option of the model. The metadata of
model.safetensors hold the SHA-256 of config.json; ``sha256`` and ``tokenizer_sha256`` in
config.json are those of the other two files. A change to any file of the folder is therefore
noticed. This finds damage and manual edits; it is not a signature, since anyone who writes a folder
can also write its hashes.

Format 1, of earlier versions, has no hash of config.json. Options that it lacks have their defaults
of that version; ``connectivity`` and ``preprocess``, which every version wrote, are required.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from autocompress.errors import CheckpointError
from autocompress.io.header import HASH, Header, read_json, text_sha256
from autocompress.io.temporary import restore_interrupted
from autocompress.savable import Savable

__all__ = [
    "CONFIG",
    "FORMAT",
    "OWN_KEYS",
    "TOKENIZER",
    "WEIGHTS",
    "check_unaltered",
    "config_hash",
    "saved_config",
]

CONFIG, WEIGHTS, TOKENIZER = "config.json", "model.safetensors", "tokenizer.json"

#: Current format of config.json; a reader refuses a higher one.
FORMAT = 2

#: Keys that a config.json of each format has besides the options of its model.
KEYS: dict[int, tuple[str, ...]] = {
    1: ("connectivity", "preprocess"),
    2: ("connectivity", "preprocess", "library", "version", "sha256", "tokenizer_sha256"),
}

#: Keys of config.json that are not keyword arguments of the model.
OWN_KEYS = frozenset(
    (
        *("format", "library", "version", "model", "sha256", "tokenizer_sha256"),
        *("preprocess", "changes", "task", "objective", "class_names", "layers_sha256"),
        *("quantised", "beside_sha256"),
    )
)


def saved_config(directory: Path) -> dict[str, Any]:
    """Return the content of a saved network's config.json.

    Raises:
        CheckpointError: The file is missing, or this version cannot read it.
    """
    path = directory / CONFIG
    restore_interrupted(directory)
    try:
        config = read_json(path)
    except FileNotFoundError as error:
        below = [directory / name for name in ("small", "model")]
        found = " and ".join(str(path) for path in below if (path / CONFIG).is_file())
        hint = f"; saved networks are in {found}" if found else ""
        raise CheckpointError(
            f"{directory} is not a saved network: it has no {CONFIG}{hint}"
        ) from error
    if not isinstance(config, dict) or not isinstance(config.get("model"), str):
        hint = ""
        if isinstance(config, dict) and "model_type" in config:
            hint = f"; it is transformers' own: autocompress.convert('hf:{directory}') takes it"
        raise CheckpointError(f"{path} was not written by autocompress: it names no 'model'{hint}")
    version = config.get("format")
    if type(version) is not int or not 1 <= version <= FORMAT:
        raise CheckpointError(
            f"{path} has format {version!r}; this version of autocompress reads 1..{FORMAT}, "
            f"and {config.get('version', 'an unknown version')!s:.40} wrote it: upgrade "
            "autocompress"
        )
    _check_keys(config, KEYS[version], path)
    _check_preprocess(config["preprocess"], path)
    return config


def _check_keys(config: Mapping[str, Any], keys: Collection[str], path: Path) -> None:
    for key in keys:
        if key not in config:
            raise CheckpointError(
                f"{path} lacks the key {key!r}, without which another network would be built; "
                "get or save it again"
            )
    for key in ("sha256", "tokenizer_sha256"):
        if not isinstance(config.get(key), str | None):
            raise CheckpointError(f"{path} has a {key!r} that is not a hash: {config[key]!r:.40}")
    names = config.get("class_names")
    if names is not None and not (
        isinstance(names, list) and all(isinstance(name, str) for name in names)
    ):
        raise CheckpointError(
            f"{path} has 'class_names' that are not a list of names: {names!r:.80}"
        )
    hashes = config.get("layers_sha256")
    if not (hashes is None or isinstance(hashes, list)):
        raise CheckpointError(f"{path} has 'layers_sha256' that are not a list: {hashes!r:.40}")
    if not isinstance(config.get("task"), str | None):
        raise CheckpointError(f"{path} has a 'task' that is not a word: {config['task']!r:.40}")
    for key in ("changes", "quantised", "beside_sha256"):
        if not isinstance(config.get(key, {}), dict):
            raise CheckpointError(f"{path} has {key!r} that are not a mapping")


def _check_preprocess(value: Any, path: Path) -> None:
    """Raise CheckpointError unless the value is null or a mapping of finite numbers."""
    if value is not None and not isinstance(value, dict):
        raise CheckpointError(f"{path} has a 'preprocess' that is not a mapping: {value!r:.40}")
    for key, numbers in (value or {}).items():
        if key not in ("scale", "mean", "std", "pad"):
            continue
        for number in numbers if isinstance(numbers, list) else [numbers]:
            good = type(number) in (int, float) and math.isfinite(number)
            if not good or (key in ("scale", "std") and number == 0):
                raise CheckpointError(f"{path} has preprocess.{key} {numbers!r:.80}, no numbers")


def config_hash(config: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a config without its entry for the weights, which contain this hash.

    Whitespace and the order of keys do not matter.
    """
    said = {key: value for key, value in config.items() if key != "sha256"}
    text = json.dumps(said, sort_keys=True, allow_nan=False, separators=(",", ":"))
    return text_sha256(text)


def check_unaltered(
    config: Mapping[str, Any], header: Header, model: type[Savable], path: Path
) -> None:
    """Raise CheckpointError unless config.json is the one saved with these weights."""
    expected = header.metadata.get(HASH)
    if expected is None and config["format"] == 1:
        return
    if expected is None:
        raise CheckpointError(
            f"{header.path} has no hash of {CONFIG}, so another program wrote it; load the network "
            "that it was made from, give it these weights and save it"
        )
    if config_hash(config) == expected:
        return
    options = list(model.options())
    lost = [name for name in options if name not in config and name != "model"]
    what = f": it lacks {lost[0]!r}" if lost else ""
    raise CheckpointError(
        f"{path} was altered since the network was saved{what}. Get or save it again; to change a "
        "network, load it, change it and save it"
    )
