"""transformers networks for text: the head that a task needs, sizes that fit a tokenizer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from autocompress.conversion.checkpoints import (
    checkpoint_config,
    import_transformers,
    with_weights,
)
from autocompress.conversion.converted import Converted
from autocompress.conversion.converting import convert
from autocompress.conversion.offline import check_reached
from autocompress.conversion.sources import recorded
from autocompress.errors import AutoCompressError, ConfigError

__all__ = [
    "checkpoint_tokenizer",
    "for_classes",
    "from_checkpoint",
    "positions_of",
    "text_arguments",
    "text_source",
]

#: Auto class of the networks with the head for a task, and the end of their classes' names.
_HEADS = {
    "masked-lm": ("AutoModelForMaskedLM", ("MaskedLM", "PreTraining")),
    "causal-lm": ("AutoModelForCausalLM", ("CausalLM", "LMHeadModel")),
    "text-classification": ("AutoModelForSequenceClassification", ("SequenceClassification",)),
}


def text_source(source: str, task: str) -> str:
    """Return the source with the head for a task: a class for a model type, a class unchanged.

    Args:
        source: ``"hf:TYPE"``, such as ``hf:bert``, or ``"hf:CLASS"``.
        task: Task of :class:`autocompress.data.DataConfig`.

    Raises:
        ConfigError: The source is not one of transformers, or is a class for another task.
    """
    transformers: Any = import_transformers()
    kind, _, name = source.partition(":")
    auto, endings = _HEADS[task]
    if kind != "hf":
        raise ConfigError(f"source {source!r} takes no text; e.g. hf:bert does")
    if name in transformers.CONFIG_MAPPING:
        classes = getattr(transformers, auto)._model_mapping
        try:
            cls = classes.get(transformers.CONFIG_MAPPING[name], None)
        except ImportError as error:
            raise ConfigError(f"transformers cannot import {name!r}: {error}") from error
        if cls is None:
            raise ConfigError(f"transformers has no {name} for the task {task}")
        name = cls.__name__
    if not name.endswith(endings):
        raise ConfigError(
            f"{source} is not for the task {task}; classes for it end in {endings[0]}"
        )
    return f"hf:{name}"


def positions_of(source: str, config: Mapping[str, Any]) -> int | None:
    """Return the number of tokens a host has positions for; None if its config does not say.

    Args:
        source: Name of the host or its class.
        config: Values of its config.
    """
    found = config.get("max_position_embeddings", config.get("n_positions"))
    return None if found is None else found - _first_place(source, config.get("pad_token_id"))


def _first_place(source: str, pad: int | None) -> int:
    """Return the number of the first position: RoBERTa's family counts from the padding's index."""
    return 1 + (pad or 0) if "roberta" in source.lower() else 0


def text_arguments(
    source: str, task: str, vocabulary: int, special: dict[str, int], length: int, classes: int
) -> dict[str, Any]:
    """Return values of a transformers config that fit a host to a tokenizer and a task.

    Args:
        source: Result of :func:`text_source`.
        task: Task, as in :func:`text_source`.
        vocabulary: Number of tokens in the vocabulary.
        special: Special tokens by use.
        length: Largest number of tokens.
        classes: Number of classes of a classifier.
    """
    words = {"pad_token_id": "pad", "bos_token_id": "first", "eos_token_id": "separator"}
    tokens = {key: special[use] for key, use in words.items() if use in special}
    rows = length + _first_place(source, special.get("pad"))
    shape: dict[str, Any] = {"vocab_size": vocabulary, "max_position_embeddings": rows, **tokens}
    if task == "causal-lm":  # otherwise BERT's layers would see the tokens they must predict
        return {**shape, "is_decoder": True}
    return {**shape, "num_labels": classes} if task == "text-classification" else shape


def from_checkpoint(path: str, task: str, classes: int) -> Converted:
    """Return a residual network with the weights of a checkpoint and the head for a task.

    A classifier gets a new head if the checkpoint is for another task.

    Args:
        path: Folder, or ``user/name`` on the hub.
        task: Task, as in :func:`text_source`.
        classes: Number of classes of a classifier.

    Raises:
        ConfigError: Transformers cannot load it, or it is a classifier of other classes.
    """
    transformers: Any = import_transformers()
    auto, endings = _HEADS[task]
    quiet = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()  # it would warn about the new head
    try:
        config = checkpoint_config(path)
        known = (config.architectures or [""])[0].endswith(endings)
        if task == "text-classification":
            if known and config.num_labels != classes:
                raise ConfigError(f"hf:{path} has {config.num_labels} classes, the data {classes}")
            config.num_labels = classes
        elif not known:
            raise ConfigError(f"hf:{path} holds {config.architectures}, not a network for {task}")
        model = with_weights(getattr(transformers, auto), path, config)
    except AutoCompressError:
        raise
    except Exception as error:  # transformers may raise anything on a checkpoint
        check_reached(f"hf:{path}", error)
        raise ConfigError(f"transformers cannot load {path!r}: {_said(error)}") from error
    finally:
        transformers.logging.set_verbosity(quiet)
    return convert(model, "residual")


def checkpoint_tokenizer(path: str) -> tuple[str, int | None]:
    """Return the path of a checkpoint's tokenizer.json, and its network's number of positions.

    Args:
        path: Folder, or ``user/name`` on the hub.

    Raises:
        ConfigError: The tokenizer is not available.
    """
    from huggingface_hub import hf_hub_download

    try:
        config = checkpoint_config(path)
        folder = Path(path)
        file = folder if folder.is_dir() else hf_hub_download(path, "tokenizer.json")
    except AutoCompressError:
        raise
    except Exception as error:  # transformers may raise anything on a checkpoint
        check_reached(f"hf:{path}", error)
        raise ConfigError(
            f"hf:{path} has no tokenizer that can be loaded: {_said(error)}"
        ) from error
    return str(file), positions_of(config.model_type, config.to_dict())


def for_classes(net: Converted, classes: int) -> Converted:
    """Return a classifier with the layers of a converted network that was pretrained on words.

    Raises:
        ConfigError: transformers has no classifier of this family.
    """
    source = str(net.config["source"])
    transformers: Any = import_transformers()
    host: Any = net.model
    plain = getattr(transformers, source.removeprefix("hf:"), None)
    if plain is None or not source.startswith("hf:"):
        raise ConfigError(f"{source} has no classifier of the same family in transformers")
    family = plain.config_class.model_type
    arguments = {**recorded(host, net.config)["arguments"], "num_labels": classes}
    for texts in ("id2label", "label2id"):  # names of its previous classes
        arguments.pop(texts, None)
    name = text_source(f"hf:{family}", "text-classification")
    new = convert(name, "residual", arguments=arguments).cut(net.depth)
    new.set_connectivity(net.rule())
    theirs: dict[str, Tensor] = host.base_model.state_dict()
    fresh: Any = new.model
    with torch.no_grad():
        fresh.base_model.load_state_dict(theirs, strict=False)  # the pooler may be new
    new.preprocess, new.tokenizer = net.preprocess, net.tokenizer
    return new.to(next(net.parameters()).device)


def _said(error: Exception) -> str:
    """Return the first line of an error's message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
