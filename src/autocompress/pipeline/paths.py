"""Record local paths of a run so that they hold in any working directory."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from autocompress.data import list_datasets
from autocompress.pipeline.config import RunConfig
from autocompress.pipeline.stream import StreamRun

__all__ = ["absolute", "with_absolute_paths"]

R = TypeVar("R", bound=RunConfig | StreamRun)


def with_absolute_paths(run: R) -> R:
    """Return the run with the local data, tokenizer and weights that exist as absolute paths.

    Names of data sets and of the hub stay, and so do paths that do not exist, since their error
    should name what the user gave.
    """
    data = replace(run.data, name=absolute(run.data.name), tokenizer=absolute(run.data.tokenizer))
    model = replace(run.model, init=absolute(run.model.init))
    if isinstance(run, StreamRun):
        return replace(run, data=data, model=model)
    return replace(run, data=data, model=model, control_init=absolute(run.control_init))


N = TypeVar("N", str, str | None)


def absolute(name: N) -> N:
    """Return the absolute path of a local file or folder; anything else unchanged.

    Example:
        >>> absolute("digits"), absolute("timm:vit_tiny_patch16_224"), absolute(None)
        ('digits', 'timm:vit_tiny_patch16_224', None)
    """
    if name is None or name in list_datasets():
        return name
    prefix = "hf:" if name.startswith("hf:") else ""
    path = Path(name.removeprefix(prefix)).expanduser()
    return prefix + os.path.abspath(path) if path.exists() else name
