"""Package attributes that are imported when they are first used (PEP 562)."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

__all__ = ["attach", "attach_imports"]


def attach(
    package: str, homes: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return the ``__getattr__`` and ``__dir__`` of a package whose names are imported on use.

    Args:
        package: The full name of the package.
        homes: Names to offer, separated by spaces, by the full name of the module that has them.

    Example, in an ``__init__.py``::

        __getattr__, __dir__ = attach(__name__, {"package.training": "FitConfig fit"})
    """
    home_of = {name: module for module, names in homes.items() for name in names.split()}

    def __getattr__(name: str) -> Any:
        if name in home_of:
            value = getattr(import_module(home_of[name]), name)
        elif not name.startswith("_") and find_spec(f"{package}.{name}") is not None:
            value = import_module(f"{package}.{name}")
        else:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        setattr(sys.modules[package], name, value)
        return value

    def __dir__() -> list[str]:
        return sorted({*vars(sys.modules[package]), *home_of})

    return __getattr__, __dir__


def attach_imports(package: str, file: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return :func:`attach` for the names that a package imports ``if TYPE_CHECKING:``.

    Type checkers read the same imports, so that no name has to be listed twice.

    Args:
        package: The full name of the package.
        file: Its ``__init__.py``.

    Example, in an ``__init__.py``::

        if TYPE_CHECKING:
            from package.training import FitConfig, fit
        else:
            __getattr__, __dir__ = attach_imports(__name__, __file__)
    """
    tree = ast.parse(Path(file).read_text(encoding="utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    homes: dict[str, str] = {}
    for node in block.body:
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [homes.get(node.module, ""), *(alias.name for alias in node.names)]
            homes[node.module] = " ".join(names)
    return attach(package, homes)
