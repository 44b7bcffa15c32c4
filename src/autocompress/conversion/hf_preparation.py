"""Read and write the files by which transformers prepares texts and pictures.

They lie beside the weights of a checkpoint. Read as data, they become the record of a converted
network, so that it takes texts and pictures by itself; written beside ours, they let transformers
prepare inputs as we do.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from autocompress.data.image_input import INTERPOLATIONS, ImageInput
from autocompress.data.tokenizer import Tokenizer
from autocompress.errors import AutoCompressError, DataError
from autocompress.io.header import TOKENIZER_BYTES, read_bounded, read_json
from autocompress.network import Network

__all__ = ["adopt_preparation", "files_beside", "pixels_in"]

_TEXTS, _PICTURES = "tokenizer.json", "preprocessor_config.json"

#: Tasks by the end of a class's name.
_TASKS = {"MaskedLM": "masked-lm", "CausalLM": "causal-lm", "LMHeadModel": "causal-lm"}

#: Keys of preprocessor_config.json that prepare pictures in ways that this library does not.
_UNKNOWN = ("do_pad", "do_thumbnail", "do_align_axis", "do_reduce_labels", "do_flip_channel_order")

#: transformers' words for the tokens that stand for no text.
_WORDS = {"pad": "pad", "unknown": "unk", "first": "cls", "separator": "sep", "mask": "mask"}


def adopt_preparation(net: Network, path: str) -> None:
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


def files_beside(
    tokenizer: str | None, preprocess: Mapping[str, Any] | None
) -> dict[str, dict[str, Any]]:
    """Return the content of tokenizer_config.json and preprocessor_config.json, where they apply.

    Without the first, transformers would build a tokenizer of the network's family from
    tokenizer.json, which may be of another family; without the second, it cannot prepare pictures.

    Args:
        tokenizer: Text of tokenizer.json.
        preprocess: Preparation of inputs, as a network records it.
    """
    found: dict[str, dict[str, Any]] = {}
    with suppress(DataError):  # a text that is not a tokenizer.json is none for transformers either
        if tokenizer is not None:
            found["tokenizer_config.json"] = _of_texts(tokenizer)
    said = preprocess or {}
    if "mean" in said and said.get("size") and said.get("channels") == 3:
        found["preprocessor_config.json"] = _of_pictures(ImageInput.of(said))
    return found


def _of_texts(text: str) -> dict[str, Any]:
    tokenizer = Tokenizer(text)
    words, cut = tokenizer.special_words, tokenizer.longest
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_input_names": ["input_ids", "attention_mask"],
        **{f"{_WORDS[use]}_token": word for use, word in words.items()},
        **({} if cut is None else {"model_max_length": cut}),
    }


def _of_pictures(pixels: ImageInput) -> dict[str, Any]:
    assert pixels.size is not None
    height, width = pixels.size
    size: dict[str, Any] = {"height": height, "width": width}
    kind, more = "ViTImageProcessor", {}
    if pixels.fit == "center" or pixels.crop != 1:
        kind, more = "CLIPImageProcessor", {"do_center_crop": True, "crop_size": size}
        high, wide = (math.floor(side / pixels.crop) for side in pixels.size)
        short = {"shortest_edge": min(high, wide)}
        size = short if pixels.fit == "center" else {"height": high, "width": wide}
    return {
        "image_processor_type": kind,
        "do_resize": True,
        "size": size,
        **more,
        "resample": INTERPOLATIONS.index(pixels.interpolation),
        "do_rescale": True,
        "rescale_factor": pixels.scale,
        "do_normalize": True,
        "image_mean": list(pixels.mean) * (3 // len(pixels.mean)),
        "image_std": list(pixels.std) * (3 // len(pixels.std)),
    }
