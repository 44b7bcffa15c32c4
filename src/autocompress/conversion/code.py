"""Make the function of a graph picklable: store its source and the names that it uses."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from torch import fx

__all__ = ["GraphCode"]


class _Module(str):
    """The name of a module, as a stand-in for the module when pickled."""

    __slots__ = ()


class GraphCode:
    """The function of a graph whose first argument is the module that holds its attributes.

    Args:
        graph: The graph. It is compiled here and may be changed afterwards.

    Attributes:
        forward: The compiled function.
    """

    def __init__(self, graph: fx.Graph) -> None:
        code = graph.python_code("self")
        self._compile(code.src, code.globals)

    def _compile(self, source: str, names: Mapping[str, Any]) -> None:
        self.source, self.names = source, dict(names)
        space = dict(names)
        exec(compile(source, "<the graph of a layer>", "exec"), space)
        self.forward = space["forward"]

    def __reduce__(self) -> tuple[Any, ...]:
        names = {
            name: _Module(value.__name__) if isinstance(value, ModuleType) else value
            for name, value in self.names.items()
        }
        return _again, (self.source, names)


def _again(source: str, names: Mapping[str, Any]) -> GraphCode:
    code = GraphCode.__new__(GraphCode)
    code._compile(
        source,
        {
            name: importlib.import_module(value) if isinstance(value, _Module) else value
            for name, value in names.items()
        },
    )
    return code
