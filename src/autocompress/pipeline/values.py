"""Convert YAML nodes to values by the type of each option; errors name the option and line.

The result is data: numbers, words, lists and mappings. No class is looked up by a name in the data,
nothing is imported, and no file is opened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Literal, NoReturn, TypeVar, cast, get_args, get_origin

import yaml

from autocompress.errors import ConfigError, nearest
from autocompress.pipeline import scalars
from autocompress.pipeline.hints import (
    Beside,
    Named,
    arms,
    beside_of,
    canonical,
    default_name,
    expected,
    hint_of,
    hints_of,
    mark_of,
    option_keys,
    refuse_code,
    section_of,
    unknown,
)
from autocompress.pipeline.safe_yaml import MAX_DEPTH, MAX_VALUES

__all__ = ["NodeReader", "as_values", "make_config", "merge", "renewed"]

T = TypeVar("T")

#: What a word means that is not a legal one, in lower case: ``auto`` takes a GPU if there is one.
_MEANT = {"gpu": "auto", "cuda": "auto", "mps": "auto", "xpu": "auto"}

_SCALARS: dict[Any, Callable[[str], Any]] = {
    bool: scalars.boolean,
    int: scalars.whole,
    float: scalars.number,
    str: scalars.text,
}


@dataclass
class NodeReader:
    """A reader of the nodes of one document.

    Args:
        source: Name of the document in messages.
        numbered: Whether messages name its lines; a word on the command line has only one.
    """

    source: str
    numbered: bool = True
    _count: int = 0

    def read(self, node: yaml.Node, hint: Any, key: str = "", depth: int = 0) -> Any:
        """Return a node's value with the type of its option; a config class stays a mapping.

        Raises:
            ConfigError: An option does not exist, a value has another type, a key occurs twice,
                there is too much data, or a key requests that code be run.
        """
        self._count += 1
        if self._count > MAX_VALUES or depth > MAX_DEPTH:
            self._fail(node, key, f"more than {MAX_VALUES} values, or an alias inside itself")
        null = _is_plain(node) and scalars.is_null(node.value)
        possible = arms(hint)
        if null and type(None) in possible:
            return None
        named, beside = mark_of(hint, Named), mark_of(hint, Beside)
        if beside is not None:
            return self._beside(node, beside, key, depth)
        if named is not None and not null:
            return self._named(node, named, key, depth, expected(hint))
        possible = tuple(part for part in possible if part is not type(None))
        if null and _is_mapping(possible[0]):
            return {}  # a section in which every line is commented out
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
                return _SCALARS[hint](word)
            except ValueError as error:
                self._fail(node, key, f"{error}; expected {wanted}")
        legal = {str(word): word for word in get_args(hint)}
        if node.value not in legal:
            meant = scalars.TRUE_FALSE.get(node.value.lower())
            same = [word for word in legal if scalars.TRUE_FALSE.get(word) is meant is not None]
            word = str(node.value).lower()
            close = nearest(same[0] if same else _MEANT.get(word.split(":")[0], word), legal)
            self._fail(node, key, f"{scalars.in_quotes(node.value)} is not valid{close}")
        return legal[node.value]

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

    def _named(
        self, node: yaml.Node, named: Named, key: str, depth: int, wanted: str
    ) -> str | dict[str, Any]:
        """Return a name, or a mapping with a name and options."""
        if not isinstance(node, yaml.MappingNode):
            return str(self._scalar(node, str, key, wanted))
        items, found = self._items(node, key), {}
        hints = {"name": str, **named.hints()}
        for name, (name_node, item) in items.items():
            if name not in hints:
                known = ["name", *named.hints(_name_in(items))]
                self._fail(name_node, "", unknown(_join(key, name), [_join(key, n) for n in known]))
            found[name] = self.read(item, hints[name], _join(key, name), depth + 1)
        return found

    def _config(self, node: yaml.MappingNode, config: type, key: str, depth: int) -> dict[str, Any]:
        items, beside = self._items(node, key), beside_of(config)
        hints, old = hints_of(config), {} if beside is None else beside.old()
        found: dict[str, Any] = {}
        for name, (name_node, item) in sorted(items.items(), key=lambda pair: pair[0] in old):
            full = _join(key, name)
            if name in old:  # a key of an earlier version
                value = self.read(item, hint_of(config, old[name]), full, depth + 1)
                section, _, option = old[name].partition(".")
                before = found.get(section)
                if isinstance(before, dict) and option in before and value is not None:
                    self._fail(
                        name_node, "", f"{full!r} occurs twice: it is {_join(key, old[name])!r}"
                    )
                found = merge(found, {section: {option: value}}, config)
                continue
            if name not in hints:
                self._no_option(
                    name_node, full, config, key, _name_in(items) or default_name(config)
                )
            if beside is not None and mark_of(hints[name], Beside) is not None:
                new = self._beside(item, beside, full, depth, _name_in(items))
            else:
                new = {name: self.read(item, hints[name], full, depth + 1)}
            for twice in new.keys() & found.keys():
                self._fail(name_node, "", f"the key {_join(key, twice)!r} occurs twice")
            found |= new
        return found

    def _beside(
        self, node: yaml.Node, beside: Beside, key: str, depth: int, name: str | None = None
    ) -> dict[str, Any]:
        """Return the options in the mapping that may also stand beside the fields of a config."""
        if _is_plain(node) and scalars.is_null(node.value):
            return {}
        if not isinstance(node, yaml.MappingNode):
            self._fail(node, key, "expected a mapping, OPTION: VALUE")
        found, hints = {}, beside.named.hints()
        for option, (name_node, item) in self._items(node, key).items():
            if option not in hints:
                known = [_join(key, each) for each in beside.named.hints(name)]
                self._fail(name_node, "", unknown(_join(key, option), known))
            found[option] = self.read(item, hints[option], _join(key, option), depth + 1)
        return found

    def _no_option(
        self, node: yaml.Node, full: str, config: type, key: str, named: str | None
    ) -> NoReturn:
        prefix = f"{key}." if key else ""
        if full in option_keys(config, prefix):  # written with dots, as on the command line
            section, _, last = full.rpartition(".")
            self._fail(node, "", f"write {full!r} as {last!r} in the section {section!r}")
        self._fail(node, "", unknown(full, list(option_keys(config, prefix, named))))

    def _mapping(
        self, node: yaml.MappingNode, kinds: tuple[Any, ...], key: str, depth: int
    ) -> dict[Any, Any]:
        kind, hint = kinds
        found: dict[Any, Any] = {}
        for name, (name_node, item) in self._items(node, key).items():
            typed = self._scalar(name_node, kind, _join(key, name), expected(kind))
            if typed in found:
                self._fail(name_node, key, f"the key {typed!r} occurs twice")
            found[typed] = self.read(item, hint, _join(key, name), depth + 1)
        return found

    def _items(
        self, node: yaml.MappingNode, key: str, depth: int = 0
    ) -> dict[str, tuple[yaml.Node, yaml.Node]]:
        """Return a mapping's items by key: its own, then those that ``<<`` merges into it."""
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
                self._fail(name, "", f"the key {_join(key, word)!r} occurs twice{also}")
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


def _name_in(items: Mapping[str, tuple[yaml.Node, yaml.Node]]) -> str | None:
    """Return the value of the key ``name`` in a mapping, if it exists."""
    node = items["name"][1] if "name" in items else None
    return str(node.value) if isinstance(node, yaml.ScalarNode) else None


def merge(old: Mapping[str, Any], new: Mapping[str, Any], config: type) -> dict[str, Any]:
    """Return the options of ``old`` overridden by those of ``new``, section by section.

    For an option that takes a name with options, another name alone keeps the options (the config
    refuses those that do not fit), and a mapping with another name replaces everything.
    """
    hints, found = hints_of(config), dict(old)
    for name, value in new.items():
        section, before = section_of(hints[name]), found.get(name)
        if mark_of(hints[name], Beside) is not None:
            found |= value
        elif mark_of(hints[name], Named) is not None:
            found[name] = _renamed(before, value)
        elif section is not None and isinstance(before, Mapping) and isinstance(value, Mapping):
            found[name] = merge(before, value, section)
        else:
            found[name] = value
    return found


def _renamed(before: Any, value: Any) -> Any:
    """Return a name with options, the later values overriding the earlier ones."""
    if before is None or value is None:
        return value
    earlier = {"name": before} if isinstance(before, str) else before
    if isinstance(value, str):
        return value if isinstance(before, str) else {**earlier, "name": value}
    names = {each["name"] for each in (earlier, value) if "name" in each}
    return {**earlier, **value} if len(names) < 2 else value


def make_config(config: type[T], values: Mapping[str, Any]) -> T:
    """Build a config from options as :class:`NodeReader` returns them, running its own checks.

    Raises:
        ConfigError: The config refuses a combination of values.
    """
    hints, own = hints_of(config), {field.name for field in fields(cast(Any, config))}
    made: dict[str, Any] = {}
    for name, value in values.items():
        hint = hints[name]
        section, named = section_of(hint), mark_of(hint, Named)
        if section is not None and isinstance(value, Mapping):
            made[name] = make_config(section, value)
        elif named is not None and isinstance(value, Mapping):
            made[name] = named.shortest(value)
        else:
            made[name] = value
    beside = next((name for name in own if mark_of(hints[name], Beside) is not None), None)
    if beside is not None:
        further = {name: made.pop(name) for name in list(made) if name not in own}
        made[beside] = {name: value for name, value in further.items() if value is not None}
    return config(**made)


def as_values(config: Any) -> Any:
    """Return a config as data for YAML and JSON, from which :func:`make_config` restores it.

    Options stand beside the fields of their config; tuples become lists. Settings that a config
    calls ``unused`` are left out.
    """
    if is_dataclass(config) and not isinstance(config, type):
        hints = hints_of(type(config))
        found: dict[str, Any] = {}
        unused = config.unused() if hasattr(config, "unused") else ()
        for field in fields(config):
            if field.name in unused:
                continue
            value = as_values(getattr(config, field.name))
            found |= (
                value if mark_of(hints[field.name], Beside) is not None else {field.name: value}
            )
        return found
    if isinstance(config, Mapping):
        return {key: as_values(value) for key, value in config.items()}
    return [as_values(each) for each in config] if isinstance(config, list | tuple) else config


def renewed(config: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config's options in their current form, from those that an earlier version wrote.

    Moved options are in their new places, and those that were null are omitted.

    Example:
        >>> from autocompress.pipeline import ModelConfig
        >>> renewed(ModelConfig, {"depth": 4, "connectivity": "acn", "inner": 1.0, "heads": None})
        {'depth': 4, 'connectivity': {'name': 'acn', 'inner': 1.0}}
    """
    found: dict[str, Any] = {}
    for name, value in sorted(
        values.items(), key=lambda pair: canonical(config, pair[0]) != pair[0]
    ):
        section, _, option = canonical(config, name).partition(".")
        if value is not None:
            found = merge(found, {section: {option: value} if option else value}, config)
    return found
