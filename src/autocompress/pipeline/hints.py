"""The options that exist, and the type of value that each of them takes.

An option's type is the annotation of a config class's field, or of a parameter of the option's
owner: the constructor of a model, the factory of a connectivity. Such options stand beside the
fields of a config (:class:`Beside`) or beside a name (:class:`Named`).
"""

from __future__ import annotations

import difflib
import inspect
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import lru_cache
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from autocompress.bounds import annotations_of
from autocompress.errors import ConfigError, nearest

__all__ = [
    "Beside",
    "Named",
    "arms",
    "beside_of",
    "canonical",
    "default_name",
    "expected",
    "hint_of",
    "hints_of",
    "mark_of",
    "mark_options",
    "option_keys",
    "argument_types",
    "refuse_code",
    "section_of",
    "unknown",
]

#: Keys by which configs make other programs build classes or run code. No option has such a name.
_CODE = ("class_path", "init_args", "dict_kwargs", "trust_remote_code", "auto_map")

M = TypeVar("M")

#: Annotated, but subscripted with types that are known only at run time.
_marked: Any = Annotated
_either_of: Any = Union

#: Config classes of which a field was marked by :func:`mark_options`: its name, and the mark.
_MARKS: dict[type, tuple[str, Beside]] = {}

_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a word"}


@dataclass(frozen=True)
class Named:
    """A mark of options that take a name, or a mapping with a name and its options.

    Args:
        kind: Word for a named thing, for messages.
        names: Function that returns the names.
        options: Function that returns the types of a name's options, by option.
        default: Name to use if only options are given.
    """

    kind: str
    names: Callable[[], list[str]]
    options: Callable[[str], Mapping[str, Any]]
    default: str | None = None

    def hints(self, name: str | None = None) -> dict[str, Any]:
        """Return the types of the options of ``name``; of all names for None or an unknown name."""
        names = [name] if name in self.names() else self.names()
        return _either(self.options(each) for each in names)

    def shortest(self, said: Mapping[str, Any]) -> str | dict[str, Any] | None:
        """Return the options that have a value, with their name, or else only the name."""
        given = {key: value for key, value in said.items() if value is not None}
        if not given:
            return None
        named = {"name": self.default, **given}
        return named["name"] if len(named) == 1 else named


@dataclass(frozen=True)
class Beside:
    """A mark of mappings whose keys users write beside the fields of the config class.

    Args:
        named: Owner of the options; the config's field ``name`` selects it.
        moved: Keys of earlier versions, each with the dotted key that replaced it.
    """

    named: Named
    moved: tuple[tuple[str, str], ...] = ()

    def old(self) -> dict[str, str]:
        """Return the keys of earlier versions that no current option uses."""
        taken = self.named.hints()
        return {key: now for key, now in self.moved if key not in taken}


def hints_of(config: type, name: str | None = None) -> dict[str, Any]:
    """Return the type of every option of a config class.

    Args:
        config: The class.
        name: Value of its ``name``, if that decides which options there are.
    """
    own, beside = _fields(config), beside_of(config)
    return {**own} if beside is None else {**beside.named.hints(name), **own}


def beside_of(config: type) -> Beside | None:
    """Return the mark for options beside a config class's fields; None if it has none."""
    marks = (mark_of(hint, Beside) for hint in _fields(config).values())
    return next((mark for mark in marks if mark is not None), None)


def mark_options(config: type, beside: Beside, name: str = "options") -> None:
    """Mark a field of a config class that is defined in an earlier part.

    Args:
        config: The class, before any of its options are requested.
        beside: The mark, which later classes write into the annotation themselves.
        name: Name of the field.
    """
    _MARKS[config] = name, beside


@lru_cache(maxsize=64)
def _fields(config: type) -> Mapping[str, Any]:
    hints = get_type_hints(config, include_extras=True)
    if config in _MARKS:
        name, mark = _MARKS[config]
        hints[name] = _marked[hints[name], mark]
    return {field.name: _plain(hints[field.name]) for field in fields(config)}


def default_name(config: type) -> str | None:
    """Return the default ``name`` of a config class."""
    found = {field.name: field.default for field in fields(config)}.get("name")
    return found if isinstance(found, str) else None


def mark_of(hint: Any, kind: type[M]) -> M | None:
    """Return an annotation's mark of the given kind, :class:`Named` or :class:`Beside`."""
    marks = getattr(hint, "__metadata__", ())
    return next((mark for mark in marks if isinstance(mark, kind)), None)


def arms(hint: Any) -> tuple[Any, ...]:
    """Return the types that a union allows; for another type only that type."""
    if get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def section_of(hint: Any) -> type | None:
    """Return the config class that an option takes; None if it takes a plain value."""
    found = (part for part in arms(hint) if is_dataclass(part) and isinstance(part, type))
    return next(found, None)


def option_keys(config: type, prefix: str = "", name: str | None = None) -> Iterator[str]:
    """Yield all dotted keys of a config class: ``fit.epochs``, ``fit.path.start``, ...

    Args:
        config: The class.
        prefix: Text before each key.
        name: Value of its ``name``, as for :func:`hints_of`.
    """
    for option, hint in hints_of(config, name).items():
        key, section, named = f"{prefix}{option}", section_of(hint), mark_of(hint, Named)
        yield key
        if section is not None:
            yield from option_keys(section, f"{key}.")
        elif named is not None:
            yield from (f"{key}.{inner}" for inner in ("name", *named.hints()))


def hint_of(config: type, key: str) -> Any:
    """Return the type of a dotted option."""
    hint: Any = config
    for name in key.split("."):
        section, named = section_of(hint), mark_of(hint, Named)
        if section is not None:
            hint = hints_of(section)[name]
        elif named is not None:
            hint = {"name": str, **named.hints()}[name]
        else:  # inside a mapping with arbitrary keys
            inner = [get_args(part)[1] for part in arms(hint) if get_origin(part) is dict]
            hint = inner[0] if inner else Any
    return hint


def canonical(config: type, key: str) -> str:
    """Return the current key for a dotted option: its new place, in its shortest form.

    Options beside the fields of their section may also be written inside their mapping:
    ``model.options.heads`` is ``model.heads``.
    """
    top, _, rest = key.partition(".")
    hints = hints_of(config)
    section = section_of(hints[top]) if top in hints else None
    if rest and section is not None:
        return f"{top}.{canonical(section, rest)}"
    beside = beside_of(config)
    if beside is None:
        return key
    if rest and top in hints and mark_of(hints[top], Beside) is not None:
        return rest
    return beside.old().get(key, key)


@lru_cache(maxsize=64)
def argument_types(factory: Any, skip: frozenset[str]) -> Mapping[str, Any]:
    """Return the types of a class's or function's keyword arguments that a config can give.

    Arguments in ``skip`` are omitted, and those whose type is not data, e.g. a module. An argument
    without an annotation takes any value.
    """
    hints = annotations_of(factory)
    found = {}
    for name, parameter in inspect.signature(factory).parameters.items():
        hint = _plain(_bare(hints.get(name, Any)))
        keyword = parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        if keyword and name not in skip and _is_data(hint):
            found[name] = hint
    return found


def _bare(hint: Any) -> Any:
    """Return an annotation without its bounds."""
    if get_origin(hint) is Annotated:
        return _bare(get_args(hint)[0])
    if get_origin(hint) in (Union, types.UnionType):
        return _either_of[tuple(_bare(part) for part in get_args(hint))]
    return hint


def _plain(hint: Any) -> Any:
    """Return an annotation with lists and mappings as YAML has them."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        parts = (_plain(inner[0]), *inner[1:])
        return _marked[parts]
    if origin in (Union, types.UnionType):
        return _either_of[tuple(_plain(part) for part in inner)]
    if origin is not None and inner and isinstance(origin, type):
        if issubclass(origin, Mapping):
            return types.GenericAlias(dict, tuple(_plain(part) for part in inner))
        if issubclass(origin, Sequence) and origin is not tuple:
            return types.GenericAlias(list, (_plain(inner[0]),))
    return hint


def _is_data(hint: Any) -> bool:
    """Return whether YAML can hold all values of a type."""
    if hint in (bool, int, float, str, type(None), Any) or get_origin(hint) is Literal:
        return True
    inner = [part for part in get_args(hint) if part is not ...]
    held = get_origin(hint) in (list, tuple, dict, Union, types.UnionType)
    return held and all(_is_data(part) for part in inner)


def _either(options: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Combine the types of several owners' options: each of them, or null, which removes."""
    found: dict[str, list[Any]] = {}
    for each in options:
        for name, hint in each.items():
            kinds = found.setdefault(name, [])
            kinds += [part for part in arms(hint) if part not in kinds]
    return {name: Any if Any in kinds else _in_turn(kinds) for name, kinds in found.items()}


def _in_turn(kinds: list[Any]) -> Any:
    """Return the union of types in the order in which a word is tried as each of them."""
    order = {bool: 0, int: 1, float: 2, str: 4}  # lists and literals at 3; str matches any word
    parts = (*sorted(kinds, key=lambda part: order.get(part, 3)), None)
    return _either_of[parts]


# -- in messages -----------------------------------------------------------------------------------


def unknown(wrong: str, keys: list[str]) -> str:
    """Return the message for an option that does not exist, with the nearest one that does.

    >>> unknown("fit.epoch", ["fit", "fit.epochs", "fit.lr"])
    "unknown option 'fit.epoch'; did you mean 'fit.epochs'? (known: fit.epochs, fit.lr)"
    >>> unknown("dept", ["model", "model.depth", "output"])
    "unknown option 'dept'; did you mean 'model.depth'?"
    """
    section, _, last = wrong.rpartition(".")
    near = [key for key in keys if key.rpartition(".")[0] == section]
    ends: dict[str, str] = {}  # possibly the right name in the wrong section
    for key in keys:
        ends.setdefault(key.rpartition(".")[2], key)
    here = difflib.get_close_matches(wrong, near, n=1, cutoff=0.7)
    there = difflib.get_close_matches(last, ends, n=1, cutoff=0.7)
    if there and not (here and (section or _alike(wrong, here[0]) >= _alike(last, there[0]))):
        return f"unknown option {wrong!r}; did you mean {ends[there[0]]!r}?"
    return f"unknown option {wrong!r}{nearest(wrong, near)}"


def _alike(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one, other).ratio()


def refuse_code(key: str) -> None:
    """Raise ConfigError if other programs would run code because of this dotted key.

    >>> refuse_code("model.arguments.depth")
    """
    if not set(_CODE).isdisjoint(key.split(".")):
        raise ConfigError(
            f"{key!r} requests that code be run; a config holds data only: no class is built and "
            "nothing is imported from what it says"
        )


def expected(hint: Any) -> str:
    """Describe in words what an option of this type takes.

    >>> expected(tuple[float, float] | None)
    'a list of 2: a number, a number; or null'
    """
    named = mark_of(hint, Named)
    if named is not None:
        known = f"the name of a {named.kind}, or a mapping, {{name: NAME, OPTION: VALUE}}"
    else:
        known = " or ".join(_one(part) for part in arms(hint) if part is not type(None))
    return f"{known}; or null" if type(None) in arms(hint) else known


def _one(hint: Any) -> str:
    inner = get_args(hint)
    if hint in _WORDS:
        return _WORDS[hint]
    if get_origin(hint) is Literal:
        return f"one of {', '.join(map(str, inner))}"
    if get_origin(hint) is list or inner[1:] == (...,):
        return f"a list, each {_one(inner[0])}"
    if get_origin(hint) is tuple:
        return f"a list of {len(inner)}: {', '.join(_one(part) for part in inner)}"
    return "a value" if hint is Any else "a mapping, NAME: VALUE"
