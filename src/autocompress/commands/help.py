"""What ``acn VERB --help`` shows. jsonargparse writes it; it reads none of the user's words."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from autocompress.commands.table import Verb
from autocompress.pipeline import Options

__all__ = ["explanation", "options_of"]


def options_of(verb: Verb) -> Options:
    """Return what the words of a verb may be: its ``Options``, and for a run the run's config."""
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
        parser.add_argument("--config", type=str, help="recipe to start from (YAML)")
        parser.add_class_arguments(options.sections, None, skip=set(options.unused))
    return str(parser.format_help())
