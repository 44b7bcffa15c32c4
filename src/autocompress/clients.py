"""Register our classes with other libraries when those are imported, without importing them here.

After ``import autocompress``, transformers' Auto classes know our model types and timm our names,
whichever is imported first. A torchvision of another build than torch imports after it, too.
"""

from __future__ import annotations

import importlib.util
import sys
import warnings
from collections.abc import Callable
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from typing import Any

__all__ = ["after_import", "before_import", "tell_clients"]


def tell_clients() -> None:
    """Register our names with transformers and timm, now or when they are imported."""
    before_import("torchvision", _let_torchvision_import)
    after_import("transformers.models.auto.configuration_auto", _register_types)
    after_import("timm", _register_timm)
    after_import("peft.utils.constants", _register_targets)


def _let_torchvision_import() -> None:
    from autocompress.extras import declare_operators

    declare_operators("torchvision", ("nms", "qnms"))


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
    else:
        _wait_for(module, act, first=False)


def before_import(module: str, act: Callable[[], Any]) -> None:
    """Call ``act`` when ``module`` is about to be imported; never if it already is.

    Args:
        module: The full name of a module, which is not imported here.
        act: The callback.
    """
    if module not in sys.modules:
        _wait_for(module, act, first=True)


def _wait_for(module: str, act: Callable[[], Any], first: bool) -> None:
    if not any(isinstance(finder, _Waiting) and finder.module == module for finder in _finders()):
        sys.meta_path.insert(0, _Waiting(module, act, first))


def _finders() -> list[Any]:
    return list(sys.meta_path)


class _Waiting(MetaPathFinder):
    """A finder that waits for one module: it delegates, and acts before or after the loader."""

    def __init__(self, module: str, act: Callable[[], Any], first: bool) -> None:
        self.module, self.act, self.first = module, act, first

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
            if self.first:
                self._act()
            execute(module)
            if self in sys.meta_path:
                sys.meta_path.remove(self)
            if not self.first:
                self._act()

        loader.exec_module = exec_module
        return spec

    def _act(self) -> None:
        try:
            self.act()
        except Exception as error:  # another library's import must not fail because of us
            warnings.warn(f"autocompress cannot register with {self.module}: {error}", stacklevel=4)
