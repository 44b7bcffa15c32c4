"""The text of ``acn VERB --help``, which jsonargparse writes without reading the user's words."""

from __future__ import annotations

import inspect
from dataclasses import fields
from typing import Any

from autocompress.commands.table import Verb
from autocompress.network import model_class
from autocompress.pipeline.hints import expected
from autocompress.pipeline.words import Options

__all__ = ["explanation", "options_of"]


def options_of(verb: Verb) -> Options:
    """Return the options of a verb: its ``Options``, and for a run those of the run's config."""
    module: Any = verb.module()
    own = module.Options
    places = tuple(item.name for item in fields(own) if "help" in item.metadata)
    sections, unused = getattr(module, "CONFIG", None), getattr(module, "UNUSED", ())
    return Options(own, sections, places, unused, verb.usage)


def explanation(verb: Verb) -> str:
    """Return the help of a verb, from the docstrings of its classes."""
    from jsonargparse import ArgumentParser

    options = options_of(verb)
    parser = ArgumentParser(
        prog=f"acn {verb.name}",
        usage=f"acn {verb.usage}",
        description=f"{verb.purpose[0].upper()}{verb.purpose[1:]}.",
    )
    for item in fields(options.own):
        if item.name in options.places:
            parser.add_argument(item.name, help=item.metadata["help"])
    parser.add_class_arguments(options.own, None, skip=set(options.places))
    if options.sections is not None:
        parser.add_argument("--config", type=str, help="Recipe to start from (YAML).")
        parser.add_class_arguments(options.sections, None, skip=set(options.unused))
        return f"{parser.format_help()}\n{_models()}\n{_rules()}"
    return str(parser.format_help()).replace("--import_ IMPORT_", "--import MODULE:CLASS")


def _models() -> str:
    """Return the options of each model, from its docstring."""
    from jsonargparse import SUPPRESS, ArgumentParser

    from autocompress.pipeline.options import MODELS

    shown = []
    for name in MODELS.names():
        model, own = model_class(name), MODELS.options(name)
        parser = ArgumentParser(add_help=False, usage=SUPPRESS)
        others = set(inspect.signature(model).parameters) - set(own)
        parser.add_class_arguments(model, "model", skip=others)
        _, _, options = parser.format_help().partition("\n  --model.")
        shown.append(f"Options of --model.name {name}:\n  --model.{options}")
    return "\n".join(shown)


def _rules() -> str:
    """Return the options of each connectivity."""
    from autocompress.pipeline.options import RULES

    lines = []
    for name in RULES.names():
        own = (f"{option}: {expected(hint)}" for option, hint in RULES.options(name).items())
        lines.append(f"  {name:<12} {'; '.join(own)}".rstrip())
    rows = "\n".join(lines)
    return f"Options of --model.connectivity NAME, as --model.connectivity.OPTION VALUE:\n{rows}\n"
