"""Files beside the weights by which transformers prepares texts and pictures as we do."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from autocompress.data.image_input import INTERPOLATIONS, ImageInput
from autocompress.data.tokenizer import Tokenizer
from autocompress.errors import DataError

__all__ = ["files_beside"]

#: transformers' words for the tokens that stand for no text.
_WORDS = {"pad": "pad", "unknown": "unk", "first": "cls", "separator": "sep", "mask": "mask"}


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
