"""From YAML nodes to values, by the type of each option; every error names the option and line.

What comes out is data: numbers, words, lists and mappings. No class is looked up by a name that
stands in the data, nothing is imported, and no file is opened.
"""

from __future__ import annotations

import difflib
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Literal, NoReturn, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

from autocompress.errors import ConfigError, nearest
from autocompress.pipeline import scalars
from autocompress.pipeline.safe_yaml import MAX_DEPTH, MAX_VALUES

__all__ = [
    "Reader",
    "arms",
    "build",
    "expected",
    "hints_of",
    "merge",
    "option_keys",
    "refuse_code",
    "section_of",
    "unknown",
]

T = TypeVar("T")

#: Keys by which other programs have a config build classes or run code. No option has such a name.
_CODE = ("class_path", "init_args", "dict_kwargs", "trust_remote_code", "auto_map")

_SCALARS: dict[Any, tuple[Callable[[str], Any], str]] = {
    bool: (scalars.boolean, "true or false"),
    int: (scalars.whole, "a whole number"),
    float: (scalars.number, "a number"),
    str: (scalars.text, "a word"),
}


def hints_of(config: type) -> dict[str, Any]:
    """Return the type of every option of a config class."""
    hints = get_type_hints(config)
    return {field.name: hints[field.name] for field in fields(config)}


def arms(hint: Any) -> tuple[Any, ...]:
    """Return the types that a union allows; another type stands alone."""
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def section_of(hint: Any) -> type | None:
    """Return the config class that an option takes; None where it takes a plain value."""
    found = (part for part in arms(hint) if is_dataclass(part) and isinstance(part, type))
    return next(found, None)


def option_keys(config: type, prefix: str = "") -> Iterator[str]:
    """Yield all dotted keys of a config class: ``fit.epochs``, ``fit.path.start``, ..."""
    for name, hint in hints_of(config).items():
        key = f"{prefix}{name}"
        yield key
        section = section_of(hint)
        if section is not None:
            yield from option_keys(section, f"{key}.")


def unknown(wrong: str, keys: list[str]) -> str:
    """Return the message for an option that does not exist, with the nearest one that does.

    >>> unknown("fit.epoch", ["fit", "fit.epochs", "fit.lr"])
    "unknown option 'fit.epoch'; did you mean 'fit.epochs'? (known: fit.epochs, fit.lr)"
    >>> unknown("dept", ["model", "model.depth", "output"])
    "unknown option 'dept'; did you mean 'model.depth'?"
    """
    section, _, last = wrong.rpartition(".")
    near = [key for key in keys if key.rpartition(".")[0] == section]
    ends: dict[str, str] = {}  # the right name in a wrong section, perhaps
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
    """Raise ConfigError where a dotted key is one by which other programs run code.

    >>> refuse_code("model.arguments.depth")
    """
    if not set(_CODE).isdisjoint(key.split(".")):
        raise ConfigError(
            f"{key!r} asks for code to be run; a config holds data only: no class is built and "
            "nothing is imported from what it says"
        )


def expected(hint: Any) -> str:
    """Return what an option of this type takes, in words.

    >>> expected(tuple[float, float] | None)
    'a list of 2: a number, a number; or null'
    """
    known = " or ".join(_one(part) for part in arms(hint) if part is not type(None))
    return f"{known}; or null" if type(None) in arms(hint) else known


def _one(hint: Any) -> str:
    inner = get_args(hint)
    if hint in _SCALARS:
        return _SCALARS[hint][1]
    if get_origin(hint) is Literal:
        return f"one of {', '.join(map(str, inner))}"
    if get_origin(hint) is list or inner[1:] == (...,):
        return f"a list, each {_one(inner[0])}"
    if get_origin(hint) is tuple:
        return f"a list of {len(inner)}: {', '.join(_one(part) for part in inner)}"
    return "a value" if hint is Any else "a mapping, NAME: VALUE"


@dataclass
class Reader:
    """Reads the nodes of one document.

    Args:
        source: name of the document in messages.
        numbered: whether its lines are worth naming; those of a word on the command line are not.
    """

    source: str
    numbered: bool = True
    _count: int = 0

    def read(self, node: yaml.Node, hint: Any, key: str = "", depth: int = 0) -> Any:
        """Return the value of a node as its option's type has it; a config class stays a mapping.

        Raises:
            ConfigError: an option that does not exist, a value that its type does not allow, a
                key that stands twice, too much data, or a key that asks for code to be run.
        """
        self._count += 1
        if self._count > MAX_VALUES or depth > MAX_DEPTH:
            self._fail(node, key, f"more than {MAX_VALUES} values, or an alias inside itself")
        null = _is_plain(node) and scalars.is_null(node.value)
        possible = arms(hint)
        if null and type(None) in possible:
            return None
        possible = tuple(part for part in possible if part is not type(None))
        if null and _is_mapping(possible[0]):
            return {}  # a section whose lines are all commented out
        if null and possible[0] is not Any:
            self._fail(node, key, f"it has no value; expected {expected(hint)}")
        wanted = expected(hint)
        for part in possible[:-1]:
            try:
                return self._typed(node, part, key, depth, wanted)
            except ConfigError:
                continue
        return self._typed(node, possible[-1], key, depth, wanted)

    def _typed(self, node: yaml.Node, hint: Any, key: str, depth: int, wanted: str) -> Any:
        if hint is Any:
            return self._untyped(node, key, depth)
        if hint in _SCALARS or get_origin(hint) is Literal:
            return self._scalar(node, hint, key, wanted)
        if get_origin(hint) in (list, tuple):
            return self._sequence(node, hint, key, depth, wanted)
        if not isinstance(node, yaml.MappingNode):
            self._fail(node, key, f"expected {wanted}")
        if is_dataclass(hint) and isinstance(hint, type):
            return self._config(node, hint, key, depth)
        return self._mapping(node, get_args(hint), key, depth)

    def _scalar(self, node: yaml.Node, hint: Any, key: str, wanted: str) -> Any:
        if not isinstance(node, yaml.ScalarNode):
            self._fail(node, key, f"expected {wanted}")
        if hint in _SCALARS:
            word = node.value if hint is str else node.value.strip()
            try:
                return _SCALARS[hint][0](word)
            except ValueError as error:
                self._fail(node, key, f"{error}; expected {wanted}")
        legal = get_args(hint)
        if node.value not in legal:
            meant = scalars.TRUE_FALSE.get(node.value.lower())
            same = [word for word in legal if scalars.TRUE_FALSE.get(word) is meant is not None]
            close = nearest(same[0] if same else node.value.lower(), map(str, legal))
            self._fail(node, key, f"{scalars.shown(node.value)} is not legal{close}")
        return node.value

    def _sequence(self, node: yaml.Node, hint: Any, key: str, depth: int, wanted: str) -> Any:
        if not isinstance(node, yaml.SequenceNode):
            self._fail(node, key, f"expected {wanted}")
        kinds = get_args(hint)
        if get_origin(hint) is list or kinds[1:] == (...,):
            kinds = (kinds[0],) * len(node.value)
        if len(node.value) != len(kinds):
            self._fail(node, key, f"it has {len(node.value)}; expected {wanted}")
        found = [
            self.read(item, kind, f"{key}[{place}]", depth + 1)
            for place, (item, kind) in enumerate(zip(node.value, kinds, strict=True))
        ]
        return found if get_origin(hint) is list else tuple(found)

    def _untyped(self, node: yaml.Node, key: str, depth: int) -> Any:
        if isinstance(node, yaml.SequenceNode):
            return self._sequence(node, list[Any], key, depth, "")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, (str, Any), key, depth)
        try:
            return (scalars.untyped if _is_plain(node) else scalars.text)(node.value)
        except ValueError as error:
            self._fail(node, key, str(error))

    def _config(self, node: yaml.MappingNode, config: type, key: str, depth: int) -> dict[str, Any]:
        hints = hints_of(config)
        found = {}
        for name, (name_node, item) in self._items(node, key).items():
            full = _join(key, name)
            if name not in hints:
                prefix = f"{key}." if key else ""
                if full in option_keys(config, prefix):  # with dots, as on the command line
                    section, _, last = full.rpartition(".")
                    self._fail(
                        name_node, "", f"write {full!r} as {last!r} in the section {section!r}"
                    )
                self._fail(name_node, "", unknown(full, list(option_keys(config, prefix))))
            found[name] = self.read(item, hints[name], full, depth + 1)
        return found

    def _mapping(
        self, node: yaml.MappingNode, kinds: tuple[Any, ...], key: str, depth: int
    ) -> dict[Any, Any]:
        kind, hint = kinds
        found: dict[Any, Any] = {}
        for name, (name_node, item) in self._items(node, key).items():
            typed = self._scalar(name_node, kind, _join(key, name), expected(kind))
            if typed in found:
                self._fail(name_node, key, f"the key {typed!r} stands twice")
            found[typed] = self.read(item, hint, _join(key, name), depth + 1)
        return found

    def _items(
        self, node: yaml.MappingNode, key: str, depth: int = 0
    ) -> dict[str, tuple[yaml.Node, yaml.Node]]:
        """Return the items of a mapping by key: its own, then those that ``<<`` merges into it."""
        own: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        merged: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        for name, item in node.value:
            self._count += 1
            if not isinstance(name, yaml.ScalarNode):
                self._fail(name, key, "a key must be a single word")
            word = name.value
            if word in own:
                first = own[word][0].start_mark.line + 1
                also = f" (line {first} has it, too)" if self.numbered else ""
                self._fail(name, "", f"the key {_join(key, word)!r} stands twice{also}")
            try:
                refuse_code(_join(key, word))
            except ConfigError as error:
                self._fail(name, "", str(error))
            if word == "<<" and _is_plain(name):
                for part in self._merged(item, key, depth):
                    merged = {**part, **merged}
                continue
            own[word] = (name, item)
        return {**merged, **own}

    def _merged(
        self, node: yaml.Node, key: str, depth: int
    ) -> Iterator[dict[str, tuple[yaml.Node, yaml.Node]]]:
        parts = node.value if isinstance(node, yaml.SequenceNode) else [node]
        for part in parts:
            if not isinstance(part, yaml.MappingNode) or depth > MAX_DEPTH:
                self._fail(node, key, "<< takes a mapping, or a list of mappings")
            self._count += len(part.value)
            if self._count > MAX_VALUES:
                self._fail(node, key, f"more than {MAX_VALUES} values")
            yield self._items(part, key, depth + 1)

    def _fail(self, node: yaml.Node, key: str, problem: str) -> NoReturn:
        where = f"{self.source}, line {node.start_mark.line + 1}" if self.numbered else self.source
        raise ConfigError(": ".join(part for part in (where, key, problem) if part))


def _is_mapping(hint: Any) -> bool:
    return is_dataclass(hint) or get_origin(hint) is dict


def _is_plain(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and not node.style


def _join(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name


def merge(old: Mapping[str, Any], new: Mapping[str, Any], config: type) -> dict[str, Any]:
    """Return the options of ``old`` with those of ``new`` over them, section by section."""
    hints, found = hints_of(config), dict(old)
    for name, value in new.items():
        section, before = section_of(hints[name]), found.get(name)
        if section is not None and isinstance(before, Mapping) and isinstance(value, Mapping):
            value = merge(before, value, section)
        found[name] = value
    return found


def build(config: type[T], values: Mapping[str, Any]) -> T:
    """Return a config from its options, as :class:`Reader` reads them; its own checks run.

    Raises:
        ConfigError: a combination of values that the config refuses.
    """
    made = {}
    for name, value in values.items():
        section = section_of(hints_of(config)[name])
        nested = section is not None and isinstance(value, Mapping)
        made[name] = build(section, value) if section is not None and nested else value
    return config(**made)
