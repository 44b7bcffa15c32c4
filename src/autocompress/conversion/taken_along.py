"""Take along what a checkpoint of transformers says about its inputs.

The tokenizer and the preparation of pictures lie in files beside the weights. They are read as data
and become the network's own record, so that it takes texts and pictures by itself.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from autocompress.data.image_input import INTERPOLATIONS, ImageInput
from autocompress.data.tokenizer import Tokenizer
from autocompress.errors import AutoCompressError
from autocompress.io.header import TOKENIZER_BYTES, read_bounded, read_json
from autocompress.network import Network

__all__ = ["take_along"]

_TEXTS, _PICTURES = "tokenizer.json", "preprocessor_config.json"

#: Tasks by the end of a class's name.
_TASKS = {"MaskedLM": "masked-lm", "CausalLM": "causal-lm", "LMHeadModel": "causal-lm"}

#: Keys of preprocessor_config.json that prepare pictures in ways that this library does not.
_UNKNOWN = ("do_pad", "do_thumbnail", "do_align_axis", "do_reduce_labels", "do_flip_channel_order")


def take_along(net: Network, path: str) -> None:
    """Give a network the tokenizer or the preparation of pictures of its checkpoint, if it has one.

    Args:
        net: The converted network.
        path: Folder of the checkpoint, or ``user/name`` on the hub.
    """
    named = str(net.config["source"])
    net.task = next((task for end, task in _TASKS.items() if named.endswith(end)), net.task)
    with suppress(AutoCompressError, OSError, UnicodeDecodeError):
        text = read_bounded(_file(path, _TEXTS), TOKENIZER_BYTES).decode("utf-8")
        special = Tokenizer(text).special
        net.tokenizer = text
        if "pad" in special and net.classes is not None:
            net.preprocess = {"pad": special["pad"]}
    with suppress(AutoCompressError, OSError):
        pixels = pixels_in(read_json(_file(path, _PICTURES)))
        if pixels is not None and net.tokenizer is None:
            net.preprocess = pixels.to_json()


def _file(path: str, name: str) -> Path:
    if os.path.isdir(path):
        return Path(path) / name
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    try:
        return Path(hf_hub_download(path, name))
    except EntryNotFoundError as error:
        raise FileNotFoundError(str(error)) from error


def pixels_in(said: Any) -> ImageInput | None:
    """Return the preparation that a preprocessor_config.json describes; None if it is another kind.

    Example:
        >>> said = {"image_mean": [0.5], "image_std": [0.5], "size": 256, "do_center_crop": True,
        ...         "crop_size": 224}
        >>> found = pixels_in(said)
        >>> found.size, found.fit, found.crop
        ((224, 224), 'center', 0.875)
    """
    if not isinstance(said, Mapping) or any(said.get(key) for key in _UNKNOWN):
        return None
    try:
        fitting = _fitting(said)
        plain = not said.get("do_normalize", True)
        mean = [0.0] if plain else said["image_mean"]
        std = [1.0] if plain else said["image_std"]
        scale = said.get("rescale_factor", 1 / 255) if said.get("do_rescale", True) else 1.0
        return ImageInput(
            scale=scale,
            mean=tuple(mean),
            std=tuple(std),
            channels=3,
            resize=True,
            interpolation=INTERPOLATIONS[said.get("resample", 2)],
            **fitting,
        )
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, ZeroDivisionError):
        return None


def _fitting(said: Mapping[str, Any]) -> dict[str, Any]:
    """Return size, crop and fit; raise KeyError or TypeError for a description of another form."""
    size, share = said["size"], said.get("crop_pct")
    short = size if isinstance(size, int) else size.get("shortest_edge")
    if short is not None and share is not None:  # ConvNeXt's processor crops small pictures only
        small = short < 384
        return {
            "size": (short, short),
            "crop": float(share) if small else 1.0,
            "fit": "center" if small else "squash",
        }
    if said.get("do_center_crop"):
        cut = said["crop_size"]
        height, width = (cut, cut) if isinstance(cut, int) else (cut["height"], cut["width"])
        if short is None and (size["height"], size["width"]) == (height, width):
            return {"size": (height, width)}
        if short is None or height != width:
            raise KeyError("a crop of another form")
        return {"size": (height, width), "crop": height / short, "fit": "center"}
    if isinstance(size, int):
        return {"size": (size, size)}
    return {"size": (size["height"], size["width"])}
