"""Save a network as a folder: config.json, which says how to build it, and model.safetensors.

A folder holds no code and no pickle: ``model`` is looked up in the registry, and the rest of
config.json are keyword arguments of that model. Text networks also have a tokenizer.json. Before
anything is built, the files of the folder are checked against each other.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import warnings
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from autocompress.checks import check_network
from autocompress.errors import (
    CheckpointError,
    ConfigError,
    DepthError,
    UnknownNameError,
)
from autocompress.io.atomic import atomic_dir, atomic_file, check_free, write_json
from autocompress.io.card import Curve, card_of, write_card
from autocompress.io.describing import build_empty, describe
from autocompress.io.header import (
    HASH,
    TOKENIZER_BYTES,
    Header,
    check_sizes,
    read_bounded,
    read_header,
    sha256,
    text_sha256,
)
from autocompress.io.layers import layer_hashes, read_first
from autocompress.io.packed import plain_header, read_packed, unpacked
from autocompress.io.replacing import texts_beside, to_keep
from autocompress.io.schema import (
    CONFIG,
    FORMAT,
    OWN_KEYS,
    TOKENIZER,
    WEIGHTS,
    check_unaltered,
    config_hash,
    saved_config,
)
from autocompress.io.weights import check_fits, read_weights, write_weights
from autocompress.savable import MODELS, Savable
from autocompress.version import __version__

__all__ = ["load", "load_for_others", "load_pretrained", "save", "saved_config", "write_network"]

#: Options of ``from_pretrained`` that say where to find a network rather than what it is.
_HUB_OPTIONS = ("revision", "cache_dir", "force_download", "local_files_only", "token")


def save(
    net: Savable,
    directory: str | os.PathLike[str],
    overwrite: bool = False,
    *,
    curve: Curve | None = None,
) -> None:
    """Write ``net`` to ``directory``, completely or not at all.

    Args:
        net: The network.
        directory: Folder that does not exist yet, or is empty.
        overwrite: Whether to replace a saved network in ``directory``. A README.md that you have
            written or changed is kept.
        curve: The scores by depth, from :func:`autocompress.probe`, that its model card shows, as
            a picture and as a table.

    Raises:
        OutputError: The folder exists (with ``overwrite``: and also holds other files), or cannot
            be written.
        ConfigError: The network could not be loaded again; the message gives the reason.

    Example:
        >>> import tempfile, autocompress as ac
        >>> net = ac.models.MLP(depth=4, width=8, classes=3, image_size=2, channels=1)
        >>> folder = Path(tempfile.mkdtemp()) / "small"
        >>> save(net.cut(2), folder)
        >>> load(folder).depth
        2
    """
    check_network(net, "save")
    path = Path(directory)
    check_free(path, overwrite)
    kept = to_keep(path, net)
    with atomic_dir(path, overwrite) as temporary:
        for name in kept:
            shutil.copyfile(path / name, temporary / name)
        write_network(net, temporary, curve)


def load(
    directory: str | os.PathLike[str],
    device: torch.device | str = "cpu",
    *,
    model: nn.Module | None = None,
    hub: bool = False,
    depth: int | None = None,
) -> Savable:
    """Load the network saved in ``directory``, in eval mode.

    Args:
        directory: Folder written by :func:`save` or ``save_pretrained``.
        device: Device of the loaded network.
        model: A new host of full depth, or its result from ``convert``, for a converted network of
            the user's own class, which no config can build. It is modified and becomes the result.
        hub: Whether ``directory`` is ``"owner/name"`` on the Hugging Face hub, to be downloaded:
            config.json, model.safetensors and tokenizer.json, nothing else.
        depth: Number of layers to load; None loads all. The result equals :func:`autocompress.cut`
            of the whole network, and the tensors of other layers are not read.

    Raises:
        CheckpointError: Files are missing, truncated, altered, of another model or of a newer
            format, or the description does not match the weights.
        UnknownNameError: A model or connectivity is not registered.
        DepthError: The network has fewer layers than ``depth``.

    Warns:
        UserWarning: The config has options that this version does not know; they are ignored.
    """
    given = {} if model is None else {"model": model}
    path, name = Path(directory), str(directory)
    if hub:
        path = _download(name, {})
    elif name.count("/") == 1 and not name.startswith((".", "/")) and not path.exists():
        raise CheckpointError(
            f"{name} is not a saved network: there is no such folder. If you mean the model of "
            f"that name on the hub: load({name!r}, hub=True)"
        )
    return _load(path, given, depth).to(device)


def find_saved(path: Path, *inside: str) -> Path:
    """Return the first folder with config.json: ``path`` itself, or one of its folders.

    Args:
        path: A saved network, or the run that it belongs to.
        inside: Names of folders of a run, in the order in which they are tried.

    Raises:
        CheckpointError: None of them holds a saved network.
    """
    folders = [path / name for name in inside]
    for folder in (path, *folders):
        if (folder / CONFIG).is_file():
            return folder
    if not path.exists():
        raise CheckpointError(f"{path} does not exist; give a run folder or a saved network")
    if not path.is_dir():
        onnx = " (an ONNX file runs in onnxruntime)" if path.suffix == ".onnx" else ""
        raise CheckpointError(
            f"{path} is a file{onnx}; expected the folder of a run or of a saved network"
        )
    raise CheckpointError(
        f"{path} holds no saved network: no {CONFIG} in it or in {' or '.join(map(str, folders))}"
        + ("; its training is not finished" if (path / "checkpoints").exists() else "")
    )


def write_network(net: Savable, directory: Path, curve: Curve | None = None) -> None:
    """Write config.json and model.safetensors into an existing folder, weights first.

    A text network's tokenizer.json is written beside them, and the model card if there is none.

    Raises:
        OutputError: A file cannot be written.
        ConfigError: The network could not be loaded again; the message gives the reason.
    """
    _check_names(net.class_names)
    packed = unpacked(net)
    net = net if packed is None else packed.plain
    said = describe(net)
    own: dict[str, Any] = {
        "format": FORMAT,
        "library": "autocompress",
        "version": __version__,
        "model": net.model_name,
        "preprocess": net.preprocess,
        "task": net.task,
        "objective": _objective(net),
        "class_names": net.class_names,
        "tokenizer_sha256": None if net.tokenizer is None else text_sha256(net.tokenizer),
    }
    if said.changes:
        own["changes"] = said.changes
    hashes = layer_hashes(net, said.buffers) if packed is None else None
    more = said.buffers
    if packed is not None:
        own["quantised"], more = packed.said, {**more, **packed.tensors}
    if hashes is not None:
        own["layers_sha256"] = hashes
    beside = texts_beside(net)
    hashed = {name: text_sha256(text) for name, text in beside.items() if name != TOKENIZER}
    if hashed:
        own["beside_sha256"] = hashed
    config = said.options | own
    for name, text in beside.items():
        with atomic_file(directory / name) as temporary:
            temporary.write_bytes(text.encode("utf-8"))
    with atomic_file(directory / WEIGHTS) as temporary:
        write_weights(net, temporary, {HASH: config_hash(config)}, more, own.get("quantised", ()))
    write_card(directory, card_of(net, curve), curve)
    write_json(directory / CONFIG, config | {"sha256": sha256(directory / WEIGHTS)})


def _check_names(names: object) -> None:
    """Raise ConfigError unless class names are texts, as every reader of the file expects."""
    known = isinstance(names, list | tuple) and all(isinstance(name, str) for name in names)
    if names is not None and not known:
        raise ConfigError(
            f"the network's class_names {names!r:.80} are not a list of texts; numbers become "
            "names by [str(number) for number in ...]"
        )


def _objective(net: Savable) -> str | None:
    """Return the objective, which readers of the file may want; loading derives it anew."""
    try:
        return getattr(net, "objective", None)
    except ConfigError:  # a host's config names an unknown problem type
        return None


def load_pretrained(model_id: str, options: Mapping[str, Any]) -> Savable:
    """Load a folder, or a model from the hub, for ``from_pretrained``.

    Args:
        model_id: Path of a folder, or ``"user/name"``.
        options: Arguments passed on by ``PyTorchModelHubMixin.from_pretrained``: hub options, the
            constructor arguments that it found in config.json, and the caller's own, which take
            precedence (``dropout=0.1``); ``map_location`` is the device.

    Raises:
        CheckpointError: As for :func:`load`, or nothing of that name exists.
        UnknownNameError: The model does not take one of the options.
    """
    rest = dict(options)
    rest.pop("config", None)  # passed by Savable.from_pretrained when no subclass is named
    hub = {key: rest.pop(key) for key in _HUB_OPTIONS if key in rest}
    device = rest.pop("map_location", None) or "cpu"
    directory = Path(model_id) if os.path.isdir(model_id) else _download(model_id, hub)
    return _load(directory, rest).to(device)


def _download(model_id: str, hub: Mapping[str, Any]) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(model_id, allow_patterns=[CONFIG, WEIGHTS, TOKENIZER], **hub))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError) as error:
        raise not_found(model_id, error) from error


def not_found(model_id: str, error: Exception) -> CheckpointError:
    """Return the error for a name that is neither a folder nor, as ``error`` says, on the hub."""
    return CheckpointError(
        f"{model_id!r} is neither a folder nor a model that the hub can deliver: {error}"
    )


def load_for_others(directory: str | os.PathLike[str]) -> Savable:
    """Load a saved network for a library that reads the folder's tokenizer by itself.

    Its tokenizer.json may thus be any: users save tokenizers into folders as they please.

    Raises:
        CheckpointError: As for :func:`load`, about the other files.
    """
    return _load(Path(directory), {}, text=False)


def _load(
    directory: Path, overrides: Mapping[str, Any], depth: int | None = None, text: bool = True
) -> Savable:
    config = saved_config(directory)
    weights = directory / WEIGHTS
    model = MODELS[config["model"]]
    header = read_header(weights)
    check_unaltered(config, header, model, directory / CONFIG)
    arguments = _known_arguments(model, config, directory) | dict(overrides)
    given = "model" in overrides
    if not given:
        check_sizes({**arguments, **config.get("changes", {})}, header, directory / CONFIG)
    tokenizer = _tokenizer(directory, config) if text else None
    plain = plain_header(header, config.get("quantised", {}))
    try:
        net = build_empty(
            config["model"],
            arguments,
            config.get("changes", {}),
            None if given else plain,
            partial(_fill, config=config, header=header, depth=depth),
        )
        if depth is not None:
            cast(Any, net).keep(depth)
    except (UnknownNameError, CheckpointError, DepthError, ImportError):
        raise
    except Exception as error:  # constructors may raise anything when given invalid numbers
        what = f"{directory / CONFIG} does not describe a {config['model']}"
        if given:
            what = f"{directory} does not fit the given {type(overrides['model']).__name__}"
        raise CheckpointError(f"{what}: {error}") from error
    net.preprocess, net.tokenizer = config["preprocess"], tokenizer
    net.task, net.class_names = config.get("task"), config.get("class_names")
    net.config["connectivity"] = net.rule()  # with the values of its gates, which are loaded now
    return net.eval()


def _fill(net: Savable, config: Mapping[str, Any], header: Header, depth: int | None) -> None:
    """Read the weights, after checking that they are intact and belong to this network."""
    hashes = config.get("layers_sha256")
    if depth is not None and hashes is not None:
        check_fits(net, header)
        read_first(net, header, depth, hashes)
        return
    if config.get("sha256") is not None and sha256(header.path) != config["sha256"]:
        raise CheckpointError(
            f"{header.path} was altered since it was saved: its SHA-256 is not the one in {CONFIG}"
        )
    if "quantised" in config:
        said = config["quantised"]
        read_packed(net, header, plain_header(header, said), said)
    else:
        read_weights(net, header.path, header)


def _tokenizer(directory: Path, config: Mapping[str, Any]) -> str | None:
    """Return the text of tokenizer.json as it was saved; None if the network was saved without.

    A file that somebody put there afterwards, for another library, is no part of the network.

    Raises:
        CheckpointError: The file is missing, altered, or no text.
    """
    path, expected = directory / TOKENIZER, config.get("tokenizer_sha256")
    if config["format"] > 1 and expected is None:
        return None
    try:
        data = read_bounded(path, TOKENIZER_BYTES)
        if expected is not None and hashlib.sha256(data).hexdigest() != expected:
            raise CheckpointError(
                f"{path} was altered since it was saved: its SHA-256 is not the one in {CONFIG}"
            )
        return data.decode("utf-8")
    except FileNotFoundError:
        if expected is None:
            return None
        raise CheckpointError(f"{path} is missing: the saved network is not complete") from None
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path} is truncated or damaged: {error}") from error


def _known_arguments(
    model: type[Savable], config: Mapping[str, Any], directory: Path
) -> dict[str, Any]:
    legal = model.options()
    arguments = {key: value for key, value in config.items() if key not in OWN_KEYS}
    unknown = sorted(key for key in arguments if key not in legal)
    if unknown:
        warnings.warn(
            f"{directory / CONFIG}, saved by version {config.get('version')}, has options that "
            f"version {__version__} does not know: left out {', '.join(unknown)}",
            stacklevel=5,
        )
    return {key: value for key, value in arguments.items() if key in legal}
