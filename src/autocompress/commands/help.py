"""The text of ``acn VERB --help``, from the docstrings of the verb's config classes.

Reading them takes all that the verb uses, so the short help of every verb is stored in help.json,
which :mod:`autocompress.commands.helping` prints at once. ``make help-texts`` writes it again; a
test fails if it is not what is written here.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import MISSING, Field, dataclass, fields
from typing import Any, Literal, get_args, get_origin

from autocompress.commands.accepts import options_of_verb
from autocompress.commands.helping import Listed, Part, laid_out
from autocompress.commands.table import VERBS, Verb
from autocompress.data.generated import GENERATED
from autocompress.network import model_class
from autocompress.pipeline.hints import Beside, Named, arms, expected, hints_of, mark_of, section_of
from autocompress.pipeline.options import DATA_OPTIONS, MODELS, RULES
from autocompress.pipeline.words import Options
from autocompress.training.hooks import HOOKS

__all__ = ["explanation", "parts", "stored"]

_NAMES = {int: "N", float: "X", str: "WORD"}
_OF_EVERY_VERB = ("json", "quiet")


@dataclass(frozen=True)
class _Option:
    """An option in the help."""

    key: str
    value: str
    words: str
    default: Any


def explanation(verb: Verb, everything: bool = False) -> str:
    """Return the help of a verb.

    Args:
        verb: The verb.
        everything: Whether to show all options instead of those that most users need.
    """
    return laid_out(parts(verb, everything))


def stored() -> str:
    """Return the content of help.json: the short help of every verb."""
    return json.dumps({name: parts(verb) for name, verb in VERBS.items()}, indent=1) + "\n"


def parts(verb: Verb, everything: bool = False) -> list[Part]:
    """Return the parts of the help: paragraphs, and lists of options.

    The arguments are those of :func:`explanation`.
    """
    options, module = options_of_verb(verb), verb.module()
    own = [each for each in _walk(options.own) if each.key not in options.places]
    own.sort(key=lambda each: each.key in _OF_EVERY_VERB)
    run = [] if options.sections is None else list(_walk(options.sections))
    run = [each for each in run if each.key.partition(".")[0] not in options.unused]
    if not everything:
        common, known = getattr(module, "COMMON", ("data.name",)), len(own) + len(run)
        own = [each for each in own if each.key in common or not _is_nested(each, options.own)]
        run = [each for key in common for each in run if each.key == key]
    purpose = f"{verb.purpose[0].upper()}{verb.purpose[1:]}."
    found: list[Part] = [f"usage: acn {verb.usage}", purpose]
    found += [_examples(verb), _places(options), _block("options", own)]
    if options.sections is not None:
        config = _Option("config", "FILE", "Recipe to start from (YAML).", None)
        found += [_block("options of the run", [config, *run])]
        found += [*_models(), *_data_sets(), _rules()] if everything else []
        found += _hooks() if everything and "fit" not in options.unused else []
    if not everything and known > len(own) + len(run):
        found.append(f"`acn {verb.name} --help-all` explains all options.")
    return [part for part in found if part]


def _is_nested(option: _Option, config: type) -> bool:
    """Return whether it is an option of a section, or the section itself."""
    name = option.key.partition(".")[0]
    return section_of(hints_of(config)[name]) is not None


def _walk(config: type, prefix: str = "") -> Iterator[_Option]:
    """Yield all options of a config class, those of its sections after their name."""
    said = _arguments(config)
    items = {item.name: item for item in fields(config)}
    for name, hint in hints_of(config).items():
        item = items.get(name)
        if item is None or mark_of(hint, Beside) is not None:
            continue  # options of models and data sets are explained by _models and the like
        section = section_of(hint)
        words = said.get(name, "")
        if section is not None:
            if words and type(None) in arms(hint):
                yield _Option(f"{prefix}{name}", "YAML", words, _default(item))
            yield from _walk(section, f"{prefix}{name}.")
            continue
        yield _Option(f"{prefix}{name}", _value(name, hint), words, _default(item))


def _arguments(documented: Any) -> dict[str, str]:
    """Return the descriptions of a class's arguments in its docstring and those of its bases."""
    from docstring_parser import DocstringStyle, parse

    found: dict[str, str] = {}
    for base in reversed(
        inspect.getmro(documented) if isinstance(documented, type) else [documented]
    ):
        parsed = parse(base.__doc__ or "", DocstringStyle.GOOGLE)
        found |= {each.arg_name: _plain(each.description or "") for each in parsed.params}
    return found


def _plain(words: str) -> str:
    """Return a docstring's text without the markup of reStructuredText."""
    words = re.sub(r":\w+:`~?(?:[\w.]*\.)?(\w+)`", r"\1", words)
    return " ".join(words.replace("``", "").split())


def _default(item: Field[Any]) -> Any:
    if item.default is not MISSING:
        return item.default
    return MISSING if item.default_factory is MISSING else None


def _value(name: str, hint: Any) -> str:
    """Return the placeholder of an option's value; empty for a flag."""
    kinds = [part for part in arms(hint) if part is not type(None)]
    if kinds == [bool]:
        return ""
    if get_origin(kinds[0]) is Literal:
        return "|".join(map(str, get_args(kinds[0])))
    if get_origin(kinds[0]) in (list, tuple):
        return f"{_NAMES.get(get_args(kinds[0])[0], 'WORD')} ..."
    if str in kinds:
        return name.strip("_").upper()
    return _NAMES.get(kinds[0], "YAML")


def _examples(verb: Verb) -> str:
    rows = [f"  {words}" for words in verb.examples]
    return "\n".join(["examples:", *rows]) if rows else ""


def _places(options: Options) -> Listed | None:
    items = {item.name: item.metadata["help"] for item in fields(options.own) if item.metadata}
    rows = [_Option(name, "", items[name], None) for name in options.places]
    if options.data:
        words = "Data of the run, the same as --data.name; a word ending in .yaml is a recipe."
        rows.append(_Option("DATA", "", words, None))
    return _block("arguments", rows)


def _block(title: str, options: Iterable[_Option]) -> Listed | None:
    """Return a list of options under its title; None if there are none."""
    rows = [_row(option, flag=title != "arguments") for option in options]
    return {"title": title, "rows": rows} if rows else None


def _row(option: _Option, flag: bool = True) -> list[str]:
    """Return an option with its value, and what explains it."""
    name = option.key.rstrip("_")  # "import" is a keyword in Python
    head = f"{'--' if flag else ''}{name} {option.value}".rstrip()
    words = option.words
    if option.default is MISSING:
        words += " (required)"
    elif option.default not in (None, False, (), [], {}, ""):
        shown = str(option.default).lower() if option.default is True else option.default
        shown = " ".join(map(str, shown)) if isinstance(shown, tuple | list) else shown
        words += f" (default: {shown})"
    return [head, words]


def _models() -> list[Listed | None]:
    """Return the options of each model, from its docstring."""
    names = {f"--model.name {name}": (model_class(name), MODELS, name) for name in MODELS.names()}
    return [_named(title, "model", *each) for title, each in names.items()]


def _data_sets() -> list[Listed | None]:
    """Return the options of each generated data set."""
    named = DATA_OPTIONS.named
    sets = {f"--data.name {name}": (GENERATED[name], named, name) for name in named.names()}
    return [_named(title, "data", *each) for title, each in sets.items()]


def _named(title: str, section: str, documented: Any, named: Named, name: str) -> Listed | None:
    """Return the options of a model or data set, from the signature and docstring."""
    said, parameters = _arguments(documented), inspect.signature(documented).parameters
    rows = []
    for option, hint in named.options(name).items():
        default = parameters[option].default if option in parameters else None
        default = MISSING if default is inspect.Parameter.empty else default
        rows.append(
            _Option(f"{section}.{option}", _value(option, hint), said.get(option, ""), default)
        )
    return _block(f"options of {title}", rows)


def _hooks() -> list[Listed | None]:
    """Return the options of each registered training hook."""
    return [
        _block(f"options of the training hook {name}", _walk(HOOKS[name], f"fit.{name}."))
        for name in HOOKS
    ]


def _rules() -> str:
    """Return the options of each connectivity."""
    lines = []
    for name in RULES.names():
        own = (f"{option}: {expected(hint)}" for option, hint in RULES.options(name).items())
        lines.append(f"  {name:<12} {'; '.join(own)}".rstrip())
    rows = "\n".join(lines)
    return f"options of --model.connectivity NAME, as --model.connectivity.OPTION VALUE:\n{rows}"
