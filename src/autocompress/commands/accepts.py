"""The options that each verb accepts."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from autocompress.commands.table import Verb
from autocompress.pipeline.words import Options

__all__ = ["options_of_verb"]


def options_of_verb(verb: Verb) -> Options:
    """Return the options of a verb: its ``Options``, and for a run those of the run's config."""
    module: Any = verb.module()
    own = module.Options
    places = tuple(item.name for item in fields(own) if "help" in item.metadata)
    sections, unused = getattr(module, "CONFIG", None), getattr(module, "UNUSED", ())
    aliases = getattr(module, "ALIASES", {})
    return Options(own, sections, places, unused, verb.usage, aliases, data=sections is not None)
