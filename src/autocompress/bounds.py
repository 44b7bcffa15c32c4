"""Declare an option's bounds together with its type: ``dropout: Share = 0.0``."""

from __future__ import annotations

import inspect
import math
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from numbers import Integral, Real
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from autocompress.errors import ConfigError

__all__ = ["Share", "Spread", "Within", "annotations_of", "bounds_in", "check_bounds"]
__all__ += ["check_numbers", "fits"]


@dataclass(frozen=True)
class Within:
    """The bounds of a number in an annotation, e.g. ``Annotated[int, Within(1, 8)]``.

    Args:
        least: Smallest legal value.
        most: Largest legal value.
        words: Description of the bounds that follows "must be" in messages.
        below: Exclusive upper bound, if ``most`` itself is not valid.

    Example:
        >>> Within(1, 8, "1 to 8").check("groups", 3)
    """

    least: float = -math.inf
    most: float = math.inf
    words: str = ""
    below: float = math.inf

    def check(self, name: str, value: float) -> None:
        """Raise ConfigError unless ``value``, given for option ``name``, is within the bounds."""
        if not (self.least <= value <= self.most and value < self.below):
            words = self.words or f"at least {self.least:g} and at most {self.most:g}"
            raise ConfigError(f"{name} {value} must be {words}")


#: A share of a whole, excluding the whole itself.
Share = Annotated[float, Within(0, words="a share in [0, 1)", below=1)]

#: A standard deviation.
Spread = Annotated[float, Within(0, words="0 or more, as it must not be negative")]


@lru_cache(maxsize=256)
def annotations_of(factory: Any) -> Mapping[str, Any]:
    """Return the annotations of a class's or function's arguments, including their bounds.

    The mapping is empty if an annotation names something that its module does not define.
    """
    target: Any = factory.func if isinstance(factory, partial) else factory
    function = inspect.unwrap(target.__init__ if inspect.isclass(target) else target)
    try:
        return get_type_hints(function, include_extras=True)
    except (NameError, TypeError, AttributeError):
        return {}


def bounds_in(annotation: Any) -> list[Within]:
    """Return the bounds contained in an annotation.

    >>> [bounds.words for bounds in bounds_in(Share | None)]
    ['a share in [0, 1)']
    """
    if get_origin(annotation) is Annotated:
        return [mark for mark in annotation.__metadata__ if isinstance(mark, Within)]
    if get_origin(annotation) in (Union, types.UnionType):
        return [found for part in get_args(annotation) for found in bounds_in(part)]
    return []


#: Options that count something, with or without bounds. Weights alone do not reveal their sign:
#: the weights for images of -4 x -4 pixels have the same shapes as those for 4 x 4.
_COUNTS = ("width", "classes", "image_size", "channels", "patch_size", "vocabulary", "length")


def check_bounds(factory: Callable[..., Any], arguments: Mapping[str, Any]) -> None:
    """Raise ConfigError unless all arguments are within the bounds of their annotations."""
    annotations = annotations_of(factory)
    for name, value in arguments.items():
        if name in _COUNTS and isinstance(value, int) and value < 1:
            raise ConfigError(f"{name} {value} must be at least 1")
        if isinstance(value, int | float):
            for bounds in bounds_in(annotations.get(name)):
                bounds.check(name, value)


def check_numbers(options: Any, section: str = "") -> None:
    """Raise ConfigError for numbers in a dataclass that are none, or not of their kind.

    numpy's numbers count, and a whole number is a float as well; bools are no numbers.

    Args:
        options: The dataclass.
        section: Name before those of the options, e.g. ``"grow."``.

    Example:
        >>> @dataclass
        ... class Times:
        ...     patience: int | None = None
        ...     at: tuple[float, ...] = (0.5,)
        >>> check_numbers(Times(at=(0.2, 1)))
        >>> check_numbers(Times(patience=2.5), "live.")
        Traceback (most recent call last):
        autocompress.errors.ConfigError: live.patience 2.5 is not a whole number, such as 3 or None
    """
    for name, hint in annotations_of(options.__class__).items():
        wrong = _wrong(getattr(options, name, None), hint)
        if wrong is not None:
            raise ConfigError(f"{section}{name} {wrong}")


def _wrong(value: Any, hint: Any) -> str | None:
    """Return a value and the number or numbers that it should be and is not; None if it is."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        found = [_wrong(value, part) for part in inner if part is not type(None)]
        optional = type(None) in inner
        if None in found or (optional and value is None):
            return None
        return f"{found[0]} or None" if optional else found[0]
    parts: list[tuple[Any, Any]] = []
    kind = None
    if origin is tuple and inner[0] in (int, float):
        alike = inner[1:] == (...,)
        if isinstance(value, list | tuple) and (alike or len(value) == len(inner)):
            parts = [(one, inner[0]) for one in value]
        else:
            kind = "a list of numbers" if alike else f"a list of {len(inner)} numbers"
    elif origin is dict and inner[1] in (int, float):
        if isinstance(value, Mapping):
            parts = [pair for item in value.items() for pair in zip(item, inner, strict=True)]
        else:
            kind = "a mapping of numbers"
    elif hint in (int, float):
        kind = _kind(value, hint)
    if kind is not None:
        return f"{value!r} is not {kind}"
    found = [_wrong(*part) for part in parts]
    return next((f"{value!r}: {one}" for one in found if one is not None), None)


def _kind(value: Any, hint: Any) -> str | None:
    """Return the kind of number that a value should be and is not; None if it is."""
    if not isinstance(value, Real) or isinstance(value, bool):
        return "a number"
    try:
        finite = (hint is int and isinstance(value, Integral)) or math.isfinite(value)
    except OverflowError:  # a whole number that no float can hold
        finite = False
    if not finite:
        return "a finite number"
    whole = hint is float or isinstance(value, Integral)
    return None if whole else f"a whole number, such as {math.ceil(value)}"


def fits(value: Any, hint: Any) -> bool:
    """Return whether a value is of the type that an annotation names; an int is a float as well.

    >>> fits([1, 2], tuple[int, ...]), fits(1, float), fits(True, int)
    (True, True, False)
    """
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return fits(value, inner[0])
    if origin in (Union, types.UnionType):
        return any(fits(value, part) for part in inner)
    if hint is Any or hint is None or hint is type(None):
        return hint is Any or value is None
    if origin is Literal:
        return value in inner
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint in (bool, int, str):
        return type(value) is hint
    if isinstance(value, list | tuple) and origin not in (None, dict):
        kinds = inner * len(value) if len(inner) == 1 or inner[1:] == (...,) else inner
        kinds = tuple(kind for kind in kinds if kind is not ...)
        return len(kinds) == len(value) and all(map(fits, value, kinds))
    if isinstance(value, Mapping) and len(inner) == 2:
        return all(fits(k, inner[0]) and fits(v, inner[1]) for k, v in value.items())
    return False
