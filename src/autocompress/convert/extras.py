"""The optional libraries, imported where they are needed; an error says which one is missing."""

from __future__ import annotations

import importlib.util
from contextlib import suppress
from typing import Any

import torch

from autocompress.errors import ConfigError, MissingExtraError

__all__ = ["import_timm", "import_transformers", "let_torchvision_import"]


def import_timm() -> Any:
    """The module ``timm``.

    Raises:
        MissingExtraError: it is not installed. ConfigError: it is, and does not import.
    """
    let_torchvision_import()
    try:
        import timm
    except ImportError as error:
        raise MissingExtraError("timm", "timm", "a timm model") from error
    except RuntimeError as error:
        raise ConfigError(f"the installed timm does not import: {error}") from error
    return timm


def import_transformers() -> Any:
    """The module ``transformers``. Raises MissingExtraError if it is not installed."""
    let_torchvision_import()
    try:
        import transformers
    except ImportError as error:
        raise MissingExtraError("transformers", "transformers", "a transformers model") from error
    return transformers


def let_torchvision_import() -> None:
    """Declare torchvision's operators where the installed one cannot.

    timm and transformers import it, and it does not import beside a torch that it was not built
    for: the wheel on PyPI is for CUDA, and beside a CPU build of torch it stops at "operator
    torchvision::nms does not exist". No network here calls these operators, so it is enough that
    their names exist; calling one still is an error.
    """
    if importlib.util.find_spec("torchvision") is None:
        return
    with suppress(ImportError):  # whoever needs it says so
        try:
            importlib.import_module("torchvision")
        except RuntimeError as error:
            if "operator torchvision::" not in str(error):
                return
            for name in ("nms", "qnms"):
                arguments = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
                torch.library.define(f"torchvision::{name}", arguments)
