"""Optional packages, imported where they are needed; errors name the extra that installs them."""

from __future__ import annotations

import importlib
from types import ModuleType

from autocompress.errors import ConfigError, MissingExtraError

__all__ = ["import_extra"]


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
            "same build (CPU or CUDA) and compatible versions"
        ) from error
