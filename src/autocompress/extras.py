"""Optional packages, imported where they are needed; an error names the extra that brings them."""

from __future__ import annotations

import importlib
from types import ModuleType

from autocompress.errors import ConfigError, MissingExtraError

__all__ = ["import_extra"]


def import_extra(package: str, extra: str, purpose: str) -> ModuleType:
    """The module ``package``.

    Args:
        package: As it is imported.
        extra: Of autocompress, that brings it.
        purpose: What needs it, the subject of the error's sentence.

    Raises:
        MissingExtraError: It is not installed.
        ConfigError: It is, and does not import: a torchvision that was built for another torch.

    Example:
        >>> import_extra("json", "none", "this example").__name__
        'json'
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise MissingExtraError(package, extra, purpose) from error
    except RuntimeError as error:
        raise ConfigError(
            f"the installed {package} does not import ({error}): torch and torchvision have to be "
            "of the same build (CPU or CUDA) and of versions that go together"
        ) from error
