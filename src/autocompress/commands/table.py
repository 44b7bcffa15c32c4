"""All verbs and their purposes: enough for ``acn --help``, which imports nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

from autocompress.version import __version__

__all__ = ["VERBS", "Verb", "overview", "version"]


@dataclass(frozen=True)
class Verb:
    """A verb of the command.

    Args:
        usage: Words after ``acn``.
        purpose: Summary in one line.
        processes: Whether several processes may run it together.
    """

    usage: str
    purpose: str
    processes: bool = False

    @property
    def name(self) -> str:
        """Return the word that the user types."""
        return self.usage.split()[0]

    def module(self) -> Any:
        """Import and return the module of the verb."""
        return import_module(f"autocompress.commands.{self.name}")


_RUN = "--config RECIPE.yaml --output RUN [--SECTION.KEY VALUE ...]"

#: All verbs, in the order in which the help lists them.
VERBS = {
    verb.name: verb
    for verb in (
        Verb(f"compress {_RUN}", "train, choose a depth, cut, compare and report"),
        Verb(f"train {_RUN}", "train one network", processes=True),
        Verb(f"stream {_RUN}", "train on one task after another, measure what is forgotten"),
        Verb("probe MODEL [options]", "show the score and cost of every depth"),
        Verb("cut MODEL --depth K --output DIR", "keep the first blocks"),
        Verb("prune MODEL --share S --output DIR", "set small weights to zero"),
        Verb("exit MODEL [options]", "choose a depth per example, by a threshold"),
        Verb("predict MODEL INPUT ... [options]", "name what files or texts show"),
        Verb("measure MODEL [options]", "measure size, FLOPs, latency and memory"),
        Verb("export MODEL --output FILE", "write ONNX or torch.export, checked against eager"),
        Verb("plan SOURCE [options]", "show what converting a network would do"),
        Verb("convert SOURCE --output DIR", "make a network auto-compressing"),
        Verb("reproduce CLAIM --out DIR [options]", "test a claim of the paper"),
        Verb("generate MODEL --prompt TEXT --new N [options]", "continue a text"),
        Verb("report RUN", "print the report of a run and write its page again"),
    )
}


def overview() -> str:
    """Return the text of ``acn --help``."""
    rows = "\n".join(f"  {name:<11}{verb.purpose}" for name, verb in VERBS.items())
    return (
        "usage: acn VERB [options]\n\nTrain deep networks with long connections, probe every "
        f"depth, cut the rest.\n\nverbs:\n{rows}\n\noptions:\n  -V, --version  show the version "
        "and exit\n  --debug        show the traceback of an error\n\n"
        "`acn VERB --help` explains a verb. A flag needs no value: --json is --json true."
    )


def version() -> str:
    """Return the text of ``acn --version``."""
    return f"acn {__version__}"
