"""Register our classes with other libraries when those are imported, without importing them here.

After ``import autocompress``, transformers' Auto classes know our model types and timm our names,
whichever is imported first.
"""

from __future__ import annotations

import importlib.util
import sys
import warnings
from collections.abc import Callable
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from typing import Any

__all__ = ["after_import", "tell_clients"]


def tell_clients() -> None:
    """Register our names with transformers and timm, now or when they are imported."""
    after_import("transformers.models.auto.configuration_auto", _register_types)
    after_import("timm", _register_timm)
    after_import("peft.utils.constants", _register_targets)


def _register_types() -> None:
    from autocompress.conversion.hf_auto import register_types

    register_types()


def _register_timm() -> None:
    from autocompress.conversion.timm_models import register_timm

    register_timm()


def _register_targets() -> None:
    """Tell PEFT which layers of our types to adapt if the user names none."""
    tables = vars(sys.modules["peft.utils.constants"])
    for name, table in tables.items():
        if name.startswith("TRANSFORMERS_MODELS_TO_") and isinstance(table, dict):
            table.update({f"acn-{kind}": found for kind, found in table.items()})


def after_import(module: str, act: Callable[[], Any]) -> None:
    """Call ``act`` once ``module`` is imported: now if it already is, else right after its import.

    Args:
        module: The full name of a module, which is not imported here.
        act: The callback, which may import the module.
    """
    if module in sys.modules:
        act()
    elif not any(isinstance(finder, _After) and finder.module == module for finder in _finders()):
        sys.meta_path.insert(0, _After(module, act))


def _finders() -> list[Any]:
    return list(sys.meta_path)


class _After(MetaPathFinder):
    """A finder that waits for one module: it delegates, and acts after the loader has run."""

    def __init__(self, module: str, act: Callable[[], Any]) -> None:
        self.module, self.act = module, act

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:
        """Return the awaited module's spec, with a loader that also runs the callback."""
        if fullname != self.module:
            return None
        sys.meta_path.remove(self)
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            sys.meta_path.insert(0, self)  # many only ask whether the module could be imported
        loader: Any = spec and spec.loader
        if loader is None:
            return spec
        execute = loader.exec_module

        def exec_module(module: Any) -> None:
            execute(module)
            if self in sys.meta_path:
                sys.meta_path.remove(self)
            try:
                self.act()
            except Exception as error:  # another library's import must not fail because of us
                warnings.warn(
                    f"autocompress cannot register with {fullname}: {error}", stacklevel=2
                )

        loader.exec_module = exec_module
        return spec
