"""Optional packages, imported where they are needed; errors name the extra that installs them."""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from autocompress.errors import ConfigError, MissingExtraError

__all__ = ["declare_operators", "import_extra"]


def import_extra(package: str, extra: str, purpose: str) -> ModuleType:
    """Import the optional package ``package`` and return it.

    Args:
        package: Name of the package, as it is imported.
        extra: Extra of autocompress that installs it.
        purpose: The feature that needs it, as the subject of the error's sentence.

    Raises:
        MissingExtraError: The package is not installed.
        ConfigError: It is installed but fails to import, e.g. a torchvision built for another
            version of torch.

    Example:
        >>> import_extra("json", "none", "this example").__name__
        'json'
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        missing = (error.name or package).partition(".")[0]  # perhaps what the package itself needs
        raise MissingExtraError(missing, extra, purpose) from error
    except RuntimeError as error:
        raise ConfigError(
            f"the installed {package} does not import ({error}): torch and torchvision need the "
            "same build (CPU or CUDA) and compatible versions; `acn doctor` shows what is wrong"
        ) from error


def declare_operators(package: str, names: tuple[str, ...]) -> bool:
    """Declare the operators of a package whose compiled part does not load beside this torch.

    A torchvision of another build than torch (such as that of PyPI beside a CPU build of torch)
    fails to import because it describes operators that its compiled part should have brought, and
    so do timm and transformers, which use none of them. Declared, they let it import; calling one
    is an error, as before.

    Args:
        package: Name of the package, which is not imported here.
        names: Operators that it describes when it is imported.

    Returns:
        Whether the operators were declared, which is needless if they exist, or if the package is
        absent or loads.
    """
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        return False
    import torch

    operators = getattr(torch.ops, package)
    missing = [name for name in names if not hasattr(operators, name)]
    for path in Path(spec.origin).parent.glob("_C*") if missing else ():
        try:
            torch.ops.load_library(path)  # type: ignore[no-untyped-call]
        except OSError:
            continue
        return False
    for name in missing:
        schema = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        torch.library.define(f"{package}::{name}", schema)
    return bool(missing)
