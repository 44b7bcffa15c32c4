"""All verbs and their purposes: enough for ``acn --help``, which imports nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

from autocompress.version import __version__

__all__ = ["VERBS", "Verb", "verbs_text", "version"]


@dataclass(frozen=True)
class Verb:
    """A verb of the command.

    Args:
        usage: Words after ``acn``.
        purpose: Summary in one line.
        examples: Example command lines in the help of the verb.
        processes: Whether several processes may run it together.
        trains: Whether it trains, which takes time before there is anything to show.
    """

    usage: str
    purpose: str
    examples: tuple[str, ...] = ()
    processes: bool = False
    trains: bool = False

    @property
    def name(self) -> str:
        """Return the word that the user types."""
        return self.usage.split()[0]

    def module(self) -> Any:
        """Import and return the module of the verb."""
        return import_module(f"autocompress.commands.{self.name}")


_RUN = "[DATA] [--config RECIPE.yaml] [--output RUN] [--SECTION.KEY VALUE ...]"

#: All verbs, in the order in which the help lists them.
VERBS = {
    verb.name: verb
    for verb in (
        Verb(
            f"compress {_RUN}",
            "train, choose a depth, cut, compare and report",
            (
                "acn compress --config recipes/digits.yaml",
                "acn compress photos/ --data.image_size 32 --fit.epochs 30",
                "acn compress reviews.csv",
                "acn compress photos/ --model.source timm:vit_tiny_patch16_224",
            ),
            trains=True,
        ),
        Verb(
            f"train {_RUN}",
            "train one network",
            (
                "acn train --config recipes/digits.yaml --output runs/one",
                "acn train --config runs/one/config.yaml --output runs/one --resume",
            ),
            processes=True,
            trains=True,
        ),
        Verb(
            f"stream {_RUN}",
            "train on one task after another, measure what is forgotten",
            ("acn stream digits --stream.tasks 5",),
            trains=True,
        ),
        Verb(
            "probe MODEL [options]",
            "show the score and cost of every depth",
            ("acn probe runs/one", "acn probe runs/one --noise gaussian:0.2 --json"),
        ),
        Verb(
            "cut MODEL --depth K [--output DIR]",
            "keep the first blocks",
            ("acn cut runs/one --depth 6 --output small",),
        ),
        Verb(
            "prune MODEL --share S [--output DIR]",
            "set small weights to zero",
            ("acn prune runs/one --share 0.5 --output sparse",),
        ),
        Verb(
            "exit MODEL [options]",
            "choose a depth per example, by a threshold",
            ("acn exit runs/one --drop 0.01",),
        ),
        Verb(
            "predict MODEL INPUT ... [options]",
            "name what files or texts show",
            (
                "acn predict runs/one cat.png photos/",
                "acn predict runs/one 'a fine film' --top 1 --json",
            ),
        ),
        Verb(
            "measure MODEL [options]",
            "measure size, FLOPs, latency and memory",
            ("acn measure runs/one/small --batch_sizes 1 32 256",),
        ),
        Verb(
            "bench MODEL [options]",
            "compare depths and formats by size, score and time",
            ("acn bench runs/one --depths 2 4 8", "acn bench runs/one --formats eager onnx --json"),
        ),
        Verb(
            "export MODEL [--output FILE]",
            "write ONNX or torch.export, checked against eager",
            (
                "acn export runs/one/small --output small.onnx",
                "acn export runs/one --depths 2 4 8 --raw --output shipped",
            ),
        ),
        Verb(
            "serve MODEL [options]",
            "answer pictures or texts over HTTP",
            ("acn serve runs/one", "acn serve runs/one --depth 4 --port 8080"),
        ),
        Verb(
            "plan SOURCE [options]",
            "show what converting a network would do",
            ("acn plan timm:vit_tiny_patch16_224", "acn plan hf:bert"),
        ),
        Verb(
            "convert SOURCE [--output DIR]",
            "make a network auto-compressing",
            ("acn convert timm:vit_tiny_patch16_224 --connectivity acn --output converted",),
        ),
        Verb(
            "reproduce CLAIM --output DIR [options]",
            "test a claim of the paper",
            ("acn reproduce --list", "acn reproduce noise --output runs/noise --seeds 1"),
        ),
        Verb(
            "generate MODEL --prompt TEXT --new N [options]",
            "continue a text",
            ("acn generate runs/decoder --prompt 'It was' --new 20",),
        ),
        Verb(
            "report RUN ... [--open]",
            "print the report of a run and write its page again; several runs on one page",
            ("acn report runs/one --open", "acn report runs/one runs/two"),
        ),
        Verb(
            "runs [FOLDER] [--where CONDITION]",
            "list runs and their results",
            ("acn runs", "acn runs --where 'test > 0.9 and depth < 6' --sort test"),
        ),
        Verb(
            "compare RUN RUN",
            "show the settings in which two runs differ, and their results",
            ("acn compare runs/one runs/two",),
        ),
        Verb(
            "doctor",
            "check versions, devices and compilers, and say how to mend what is wrong",
            ("acn doctor",),
        ),
        Verb(
            "completion SHELL",
            "print the completions of a shell: bash, zsh or fish",
            ("acn completion bash > ~/.local/share/bash-completion/completions/acn",),
        ),
    )
}


def verbs_text() -> str:
    """Return the text of ``acn --help``."""
    rows = "\n".join(f"  {name:<11}{verb.purpose}" for name, verb in VERBS.items())
    return (
        "usage: acn VERB [options]\n\nTrain deep networks that can be cut: score every depth, "
        f"keep the layers that are needed.\n\nverbs:\n{rows}\n\noptions:\n"
        "  -V, --version  show the version and exit\n"
        "  --debug        show the traceback of an error\n\n"
        "`acn VERB --help` shows examples and what most people need, --help-all all options.\n"
        "Without --output a verb writes to the next free folder under runs/. --json prints the\n"
        "result as JSON."
    )


def version() -> str:
    """Return the text of ``acn --version``."""
    return f"acn {__version__}"
