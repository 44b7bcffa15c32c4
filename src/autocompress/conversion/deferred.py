"""A stand-in for layer outputs while a trunk records the calls in a host's own loop."""

from __future__ import annotations

from typing import Any, NoReturn

from torch import Tensor

from autocompress.errors import ConvertError

__all__ = ["Call", "Deferred", "calls_below"]

#: Positional and keyword arguments of one layer's call, after x.
Call = tuple[tuple[Any, ...], dict[str, Any]]

#: Attributes of a tensor's form, not its values: layers keep the form, so all have that of x_0.
_FORMS = frozenset(
    ("shape", "dtype", "device", "ndim", "size", "dim", "is_nested", "is_cuda", "requires_grad")
)


class Deferred:
    """The stand-in for what a layer returns, until the last one is called.

    A trunk runs all of its layers when the last one is called. Before that there are no values, so
    a host that computes with them between its layers is refused.

    Args:
        x: The stem's output x_0.
        calls: Calls recorded so far, without x.
    """

    __slots__ = ("_calls", "_x")

    def __init__(self, x: Tensor, calls: tuple[Call, ...]) -> None:
        self._x, self._calls = x, calls

    @property
    def depth(self) -> int:
        """Number of layers that have been called."""
        return len(self._calls)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if name in _FORMS:
            return getattr(self._x, name)
        return self._refuse(name)

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> NoReturn:
        next(x for x in _flat([args, kwargs or {}]) if isinstance(x, cls))._refuse(func.__name__)

    def _refuse(self, what: str = "arithmetic", *_: Any, **__: Any) -> NoReturn:
        done = len(self._calls) - 1
        raise ConvertError(
            f"the host computes with what layer {done} returns ({what}) before it calls layer "
            f"{done + 1}: a trunk runs all its layers at once, so it takes only hosts that hand "
            "the output of each layer straight on to the next"
        )

    def _indexed(self, *_: Any) -> NoReturn:
        self._refuse("an element of it")

    __getitem__ = __iter__ = __len__ = __bool__ = _indexed
    __add__ = __radd__ = __iadd__ = __sub__ = __rsub__ = __neg__ = _refuse
    __mul__ = __rmul__ = __truediv__ = __rtruediv__ = __matmul__ = _refuse


def _flat(values: Any) -> list[Any]:
    if isinstance(values, dict):
        values = values.values()
    elif not isinstance(values, (list, tuple)):
        return [values]
    return [x for value in values for x in _flat(value)]


def calls_below(x: Any, index: int) -> tuple[Tensor, tuple[Call, ...]]:
    """Return x_0 and the calls of the layers below ``index`` from the input of layer ``index``.

    Raises:
        ConvertError: The input is not what the layer before returned.
    """
    if not isinstance(x, Deferred):
        if index:
            raise ConvertError(
                f"layer {index} is called with something else than layer {index - 1} returned: a "
                "trunk takes only hosts that call their layers one after the other, each once"
            )
        return x, ()
    if len(x._calls) != index:
        raise ConvertError(
            f"layer {index} is called after layer {len(x._calls) - 1}: a trunk takes only hosts "
            "that call all of their layers in order, each once (a host that drops layers at "
            "random: set its share to 0)"
        )
    return x._x, x._calls
