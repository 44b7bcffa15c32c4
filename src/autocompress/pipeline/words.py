"""Parse the words of a command line by the options of one verb."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from itertools import chain
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import yaml

from autocompress.errors import ConfigError
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
from autocompress.pipeline.safe_yaml import compose
from autocompress.pipeline.values import NodeReader, merge

__all__ = ["Options", "Said", "read_words"]


@dataclass(frozen=True)
class Options:
    """The options of a verb.

    Args:
        own: Config class of the verb's own options.
        sections: Config class of a whole run, as in recipes; None if the verb takes no recipe.
        places: Options that are given by position, without their name.
        unused: Options of ``sections`` that this verb does not use: a recipe may hold them, the
            command line may not.
        usage: Words after ``acn``, for messages.
        aliases: Current names of options by their earlier names.
        data: Whether a word without an option names the data, as ``--data.name`` does, or, as
            ``--config``, a recipe (.yaml).
    """

    own: type
    sections: type | None = None
    places: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    usage: str = ""
    aliases: Mapping[str, str] = field(default_factory=dict)
    data: bool = False

    def names(self) -> list[str]:
        """Return all options that the command line may name."""
        run = [] if self.sections is None else ["config", *option_keys(self.sections)]
        run = [key for key in run if key.partition(".")[0] not in self.unused]
        return [*(key.rstrip("_") for key in option_keys(self.own)), *run]

    def field(self, key: str) -> str:
        """Return the field of an option: ``import_`` for --import, a keyword in Python."""
        return f"{key}_" if f"{key}_" in hints_of(self.own) else key

    def many(self) -> list[str]:
        """Return the last option given by its place, if it takes all words that are left."""
        hints = hints_of(self.own)
        return [name for name in self.places[-1:] if get_origin(hints[name]) is tuple]


@dataclass
class Said:
    """The content of the words.

    Args:
        own: The verb's own options.
        sections: Options of the run; those on the command line override the recipe's.
        from_recipe: Options of a run that a recipe names.
        recipe: Options of the run as the recipes give them.
        typed: Options of the run that words name.
    """

    own: dict[str, Any] = field(default_factory=dict)
    sections: dict[str, Any] = field(default_factory=dict)
    from_recipe: set[str] = field(default_factory=set)
    recipe: dict[str, Any] = field(default_factory=dict)
    typed: set[str] = field(default_factory=set)

    def let_rivals_follow(self) -> None:
        """Give the rivals' training the settings of the network's that words have changed.

        A setting in which the recipe has the two differ stays, as a learning rate that was sought
        for each: ``--fit.epochs 5`` shortens all trainings of a run. If only words name the rivals'
        settings, the others are those of the network.
        """
        fit, control = self.sections.get("fit"), self.sections.get("control")
        if not isinstance(control, dict) or not isinstance(fit, dict):
            return
        was, rivals = (self.recipe.get(each) or {} for each in ("fit", "control"))
        typed = {option.split(".")[1] for option in self.typed if option.startswith("fit.")}
        follow = {key: fit[key] for key in typed if was.get(key) == rivals.get(key)}
        mine = {option.split(".")[1] for option in self.typed if option.startswith("control.")}
        own = {key: value for key, value in control.items() if key in mine or key not in follow}
        self.sections["control"] = {**(follow if rivals else fit), **own}

    def let_rules_replace(self, config: type) -> None:
        """Drop the recipe's rule where words give another, as a section takes one at a time.

        ``--select.layers 4`` keeps four layers whatever budget the recipe names. Two rules that
        words give remain, and the section refuses them.
        """
        for parent in {key.rpartition(".")[0] for key in self.typed} - {""}:
            rules = getattr(section_of(hint_of(config, parent)), "rules", ())
            values: Any = self.sections
            for name in parent.split(".") if rules else ():
                values = values[name]
            if not rules or not isinstance(values, dict):
                continue
            typed = {name for name in values if f"{parent}.{name}" in self.typed and values[name]}
            others = [rule for rule in rules if typed.isdisjoint(rule)]
            for name in chain(*others) if len(others) < len(rules) else ():
                values.pop(name, None)


def read_words(words: Sequence[str], options: Options) -> Said:
    """Parse the words of a verb.

    Raises:
        ConfigError: The verb does not take or use an option, a value is missing or has another
            type, or a recipe cannot be read.
    """
    said = Said()
    rest, only_places, data = list(words), False, list[str]()
    while rest:
        word = rest.pop(0)
        _check(word, "this word")
        if word == "--" and not only_places:
            only_places = True
        elif only_places or not word.startswith("--"):
            places = [name for name in options.places if name not in said.own] or options.many()
            if options.data and word.endswith((".yaml", ".yml")):
                _take(f"--config={word}", [], options, said)
                continue
            if options.data and not data and not _is_option(word, options.names()):
                data = [word]
                continue
            if not places or (not only_places and _is_option(word)):
                raise ConfigError(_unexpected(word, options))
            if [places[0]] == options.many():
                said.own.setdefault(places[0], []).append(word)
            else:
                said.own[places[0]] = _value(places[0], [word], hint_of(options.own, places[0]))
        else:
            _take(word, rest, options, said)
    if data:  # after all options, as a recipe may name other data
        _check_once(data[0], words)
        _take(f"--data.name={data[0]}", [], options, said)
    said.let_rivals_follow()
    if options.sections is not None:
        said.let_rules_replace(options.sections)
    for item in fields(options.own):
        needed = item.default is MISSING and item.default_factory is MISSING
        if needed and item.name not in said.own:
            name = item.name if item.name in options.places else f"--{item.name}"
            raise ConfigError(f"{name} is missing: acn {options.usage}")
    return said


def _check_once(word: str, words: Sequence[str]) -> None:
    """Raise ConfigError if an option names the data as well as ``word`` does."""
    if any(each.partition("=")[0] == "--data.name" for each in words):
        raise ConfigError(
            f"the data are named twice: by {scalars.in_quotes(word)} and by --data.name; give one"
        )


def _take(word: str, rest: list[str], options: Options, said: Said) -> None:
    """Parse one option, with its value from the words after it."""
    name, equals, value = word.removeprefix("--").partition("=")
    key = options.field(_known(name, options, _named(rest, said)))
    if key == "config" and options.sections is not None:
        from autocompress.pipeline.recipes import read_recipe  # and with it what a run is made of

        path = value if equals else _next(key, rest, str)[0]
        recipe = read_recipe(Path(_check(path, "--config")), options.sections)
        said.sections = merge(said.sections, recipe, options.sections)
        said.from_recipe |= set(recipe)
        said.recipe = merge(said.recipe, recipe, options.sections)
        return
    config = _class_of(key, options)
    hint = hint_of(config, key)
    taken = [value] if equals else _next(key, rest, hint)
    target = said.own if config is options.own else said.sections
    if target is said.sections:
        said.typed.add(key)
    _place(target, key.split("."), _value(key, taken, hint), config)


def _class_of(key: str, options: Options) -> type:
    """Return the config class that has the option."""
    own = options.sections is None or key.partition(".")[0] in hints_of(options.own)
    return options.own if own else options.sections  # type: ignore[return-value]


def _named(rest: Sequence[str], said: Said) -> dict[str, str]:
    """Return the names of sections, given by earlier words or by those to come."""
    found = {
        section: str(values["name"])
        for section, values in said.sections.items()
        if isinstance(values, dict) and "name" in values
    }
    for word, after in zip(rest, [*rest[1:], ""], strict=False):
        option, equals, value = word.partition("=")
        if option.startswith("--") and option.endswith(".name"):
            found[option[2:-5]] = value if equals else after
    return found


def _known(name: str, options: Options, named: Mapping[str, str]) -> str:
    """Return the option of this name; a dash stands for an underscore, too.

    Args:
        name: Name as the user types it.
        options: Options of the verb.
        named: Names of sections; a section without one takes the options of its default.
    """
    refuse_code(name)
    name = options.aliases.get(name, name)
    keys = options.names()
    top = name.partition(".")[0]
    if top in options.unused:
        raise ConfigError(
            f"acn {options.usage.split()[0]} does not use --{name}: it trains one network and "
            "chooses nothing; acn compress takes it"
        )
    for spelled in (name, name.replace("-", "_")):
        key = spelled if options.sections is None else canonical(options.sections, spelled)
        parents = [key[:place] for place, letter in enumerate(key) if letter == "."]
        if key in keys or any(_is_free(parent, options) for parent in parents if parent in keys):
            return key
    section = None if options.sections is None else section_of(hints_of(options.sections).get(top))
    if section is not None and beside_of(section) is not None:  # the nearest of its options
        keys = [key for key in keys if not key.startswith(f"{top}.")]
        keys += option_keys(section, f"{top}.", named.get(top, default_name(section)))
    raise ConfigError(unknown(name, keys))


def _is_free(key: str, options: Options) -> bool:
    """Return whether the option is a mapping with arbitrary keys."""
    hint = None if key == "config" else hint_of(_class_of(key, options), key)
    if mark_of(hint, Named) is not None or mark_of(hint, Beside) is not None:
        return False
    kinds = arms(hint)
    return any(get_origin(part) is dict and get_args(part)[0] is str for part in kinds)


def _next(key: str, rest: list[str], hint: Any) -> list[str]:
    """Take the words of a value from those that follow its option."""
    kinds = [part for part in arms(hint) if part is not type(None)]
    if kinds == [bool] and not (rest and rest[0].lower() in scalars.TRUE_FALSE):
        return ["true"]  # a flag, such as --json
    if not rest or rest[0].startswith("--"):
        raise ConfigError(f"--{key} needs a value: {expected(hint)}")
    taken = [rest.pop(0)]
    item = next((get_args(part)[0] for part in kinds if get_origin(part) in (list, tuple)), None)
    while item is not None and rest and _continues(taken[0], rest[0], item):
        taken.append(rest.pop(0))
    return taken


def _continues(first: str, word: str, item: Any) -> bool:
    """Return whether ``word`` is one more value of a list, as in ``--batch_sizes 1 256``."""
    if first.lstrip().startswith("[") or word.startswith("--"):
        return False
    try:
        {int: scalars.whole, float: scalars.number}.get(item, scalars.text)(word)
    except ValueError:
        return False
    return True


def _value(key: str, taken: list[str], hint: Any) -> Any:
    for word in taken:
        _check(word, f"--{key}")
    reader = NodeReader(f"--{key}", numbered=False)
    return reader.read(_node(key, taken, hint), hint)


def _node(key: str, taken: list[str], hint: Any) -> yaml.Node:
    """Return the words as a YAML node: unparsed if the option takes a word, otherwise parsed."""
    word = taken[0]
    if mark_of(hint, Named) is not None and not word.lstrip().startswith("{"):
        return yaml.ScalarNode("", word, style=None if scalars.is_null(word) else '"')
    kinds = [part for part in arms(hint) if part is not type(None)]
    simple = all(part in (str, int, float, bool) or get_origin(part) is Literal for part in kinds)
    if simple:
        quoted = str in kinds and (hint is str or not scalars.is_null(word) or word == "")
        return yaml.ScalarNode("", word, style='"' if quoted else None)
    is_list = any(get_origin(part) in (list, tuple) for part in kinds)
    if is_list and len(taken) == 1 and "," not in word and not {int, float}.isdisjoint(kinds):
        is_list = False  # a number, or a list of numbers
    if is_list and not (len(taken) == 1 and word.lstrip().startswith(("[", "{"))):
        if len(taken) == 1 and scalars.is_null(word) and type(None) in arms(hint):
            return yaml.ScalarNode("", word)
        parts = taken if len(taken) > 1 or str in get_args(kinds[0]) else word.split(",")
        items = [yaml.ScalarNode("", part, style='"') for part in parts]
        return yaml.SequenceNode("", items)
    node = compose(word, f"--{key}", numbered=False)
    return yaml.ScalarNode("", "") if node is None else node


def _place(target: dict[str, Any], parts: list[str], value: Any, config: type | None) -> None:
    """Set the value of a dotted option, replacing what is there."""
    name, *more = parts
    if more and config is not None and mark_of(hints_of(config)[name], Named) is not None:
        target.update(merge(target, {name: {more[0]: value}}, config))
    elif more:
        before = target.get(name)
        inner = dict(before) if isinstance(before, dict) else {}
        target[name] = inner
        section = None if config is None else section_of(hints_of(config)[name])
        _place(inner, more, value, section)
    elif config is not None:
        target.update(merge(target, {name: value}, config))
    else:
        target[name] = value


def _is_option(word: str, known: Sequence[str] = ()) -> bool:
    """Return whether a word looks like an option that lacks a dash or two, as -d or depth=3."""
    return (word[:1] == "-" and word[1:2].isalpha()) or word.partition("=")[0] in known


def _unexpected(word: str, options: Options) -> str:
    name, known = word.partition("=")[0].lstrip("-"), options.names()
    if _is_option(word):
        return f"{unknown(name, known)}: acn {options.usage}"
    hint = f"did you mean --{word}? " if name in known else ""
    if "data.name" in known and not hint and Path(word).expanduser().exists():
        hint = f"did you mean --data.name {scalars.in_quotes(word)}? "
    return f"unexpected word {scalars.in_quotes(word)}: {hint}acn {options.usage}"


def _check(word: str, name: str) -> str:
    try:
        return scalars.text(word)
    except ValueError as error:
        raise ConfigError(f"{name}: {error}") from None
