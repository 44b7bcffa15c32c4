"""What the verbs of the command ``acn`` take: a class each, whose docstring is the help shown.

The words are read by :func:`autocompress.pipeline.read_words`, which turns them into these
classes. jsonargparse writes the help; it reads nothing, since it would import and build what a
value names (``class_path``), and would read quoted words anew.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Literal

from autocompress.data import DataConfig
from autocompress.errors import ConfigError
from autocompress.pipeline import Options, RunConfig, StreamRun

__all__ = ["VERBS", "Verb", "explanation", "overview"]


def _place(words: str, **default: Any) -> Any:
    """An option that is given by its place; ``words`` explain it in the help."""
    return field(metadata={"help": words}, **default)


def _model() -> Any:
    return _place("run folder, or folder of a saved network")


@dataclass(frozen=True, kw_only=True)
class RunFolder:
    """Options of compress, train and stream beside those of the run.

    Args:
        output: run folder to make.
        resume: go on with the run in it.
        print_config: print the resolved options as YAML and leave.
    """

    output: str
    resume: bool = False
    print_config: bool = False


@dataclass(frozen=True, kw_only=True)
class Probe:
    """Options of ``acn probe``.

    Args:
        split: train, validation or test; a depth is chosen on validation only.
        json: JSON instead of a table.
        latency_batch: also time every depth at this batch.
        noise: KIND:LEVEL, e.g. gaussian:0.2 or jpeg:3.
        data: data, where no run says which.
    """

    model: str = _model()
    split: Literal["train", "validation", "test"] = "validation"
    json: bool = False
    latency_batch: int | None = None
    noise: str | None = None
    data: DataConfig | None = None


@dataclass(frozen=True, kw_only=True)
class Cut:
    """Options of ``acn cut``.

    Args:
        depth: blocks to keep.
        output: folder for the smaller network.
    """

    model: str = _model()
    depth: int
    output: str


@dataclass(frozen=True, kw_only=True)
class Prune:
    """Options of ``acn prune``.

    Args:
        share: of the blocks' matrices that becomes zero.
        output: folder for the sparse network.
    """

    model: str = _model()
    share: float
    output: str


@dataclass(frozen=True, kw_only=True)
class Exit:
    """Options of ``acn exit``.

    Args:
        threshold: leave below this entropy (nats); without it, the one that ``drop`` allows.
        drop: accuracy that may be lost, 0.005 where neither is given.
        depths: where to leave; all, if not given.
        json: JSON instead of a table.
        data: data, where no run says which.
    """

    model: str = _model()
    threshold: float | None = None
    drop: float | None = None
    depths: list[int] | None = None
    json: bool = False
    data: DataConfig | None = None

    def __post_init__(self) -> None:
        if self.threshold is not None and self.drop is not None:
            raise ConfigError("--threshold says when to leave and --drop finds it: give one")


@dataclass(frozen=True, kw_only=True)
class Measure:
    """Options of ``acn measure``.

    Args:
        batch_sizes: batches to time.
        json: JSON instead of a table.
    """

    model: str = _model()
    batch_sizes: tuple[int, ...] = (1, 256)
    json: bool = False


@dataclass(frozen=True, kw_only=True)
class Export:
    """Options of ``acn export``.

    Args:
        output: NAME.onnx or NAME.pt2.
    """

    model: str = _model()
    output: str


@dataclass(frozen=True, kw_only=True)
class Report:
    """Options of ``acn report``."""

    run: str = _place("run folder of `acn compress`")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Options of ``acn plan``.

    Args:
        arguments: what the source's constructor takes.
        blocks: path of its list of layers, if several.
        json: JSON instead of a table.
    """

    source: str = _place("timm:NAME, hf:TYPE, hf:CLASS or hf:CHECKPOINT")
    arguments: dict[str, Any] = field(default_factory=dict)
    blocks: str | None = None
    json: bool = False


@dataclass(frozen=True, kw_only=True)
class Convert:
    """Options of ``acn convert``.

    Args:
        arguments: what the source's constructor takes.
        blocks: path of its list of layers, if several.
        connectivity: acn, residual, hacn, ...
        output: folder for the network.
    """

    source: str = _place("timm:NAME, hf:TYPE, hf:CLASS or hf:CHECKPOINT")
    arguments: dict[str, Any] = field(default_factory=dict)
    blocks: str | None = None
    connectivity: str = "acn"
    output: str


@dataclass(frozen=True, kw_only=True)
class Generate:
    """Options of ``acn generate``.

    Args:
        prompt: how the text begins.
        ids: its tokens, instead.
        new: how many tokens to add.
        draft_depth: blocks that draft; without it, all of them write each token.
        draft_length: tokens that are drafted before full depth looks at them.
        draft_confidence: full depth looks at once when the probability of a drafted token is
            below this share, 0..1.
        stop: token that ends a text.
    """

    model: str = _model()
    prompt: str | None = None
    ids: list[int] | None = None
    new: int
    draft_depth: int | None = None
    draft_length: int = 4
    draft_confidence: float = 0.0
    stop: int | None = None

    def __post_init__(self) -> None:
        if (self.prompt is None) == (self.ids is None):
            raise ConfigError(
                "say how the text begins: --prompt TEXT, or its tokens, --ids '[5, 12]'"
            )


@dataclass(frozen=True, kw_only=True)
class Reproduce:
    """Options of ``acn reproduce``.

    Args:
        list: name all claims and leave.
        preset: size of the study, e.g. cpu.
        seeds: how many; each repeats every arm.
        out: folder of the study.
        data: folders of data sets, or NAME=PLACE.
        faithful: with the authors' peculiarities.
        jobs: processes on this machine.
        cluster: where the jobs run instead, e.g. ray.
        check: compare with committed results.
        committed: folder of those, benchmarks/results/reproduce where none is given.
    """

    claim: str | None = _place("which; see --list", default=None)
    list: bool = False
    preset: str = "cpu"
    seeds: int = 3
    out: str | None = None
    data: tuple[str, ...] = ()
    faithful: bool = False
    jobs: int = 1
    cluster: str | None = None
    check: bool = False
    committed: str | None = None

    def __post_init__(self) -> None:
        if self.list or self.claim is None:
            for item in fields(self):
                if item.name != "list" and getattr(self, item.name) != item.default:
                    wanted = "leave --list out" if self.list else "name a claim; see --list"
                    raise ConfigError(f"{item.name} is not used to list the claims: {wanted}")
        elif self.out is None:
            raise ConfigError(
                f"name a folder for the results: acn reproduce {self.claim} --out DIR"
            )
        if self.committed is not None and not self.check:
            raise ConfigError("--committed says what --check compares with: give --check, too")
        if self.cluster is not None and self.jobs != 1:
            raise ConfigError("--jobs is for this machine and --cluster for others: give one")


# -- the verbs -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Verb:
    """What a verb takes, and what it is for."""

    options: Options
    purpose: str


def _of_run(verb: str, sections: type, purpose: str, unused: tuple[str, ...] = ()) -> Verb:
    usage = f"{verb} --config RECIPE.yaml --output RUN [--SECTION.KEY VALUE ...]"
    return Verb(Options(RunFolder, sections, (), unused, usage), purpose)


def _of_one(own: type, usage: str, purpose: str) -> Verb:
    places = tuple(item.name for item in fields(own) if "help" in item.metadata)
    return Verb(Options(own, places=places, usage=usage), purpose)


#: What ``acn train`` leaves alone of a run.
_AFTER_TRAINING = ("select", "control", "control_init", "rivals", "heal")

#: All verbs, in the order in which the help names them.
VERBS = {
    "compress": _of_run("compress", RunConfig, "all of it, from data to a report"),
    "train": _of_run("train", RunConfig, "train one network", _AFTER_TRAINING),
    "stream": _of_run("stream", StreamRun, "one task after another, what is forgotten"),
    "probe": _of_one(Probe, "probe MODEL [options]", "score and cost of every depth"),
    "cut": _of_one(Cut, "cut MODEL --depth K --output DIR", "keep the first blocks"),
    "prune": _of_one(Prune, "prune MODEL --share S --output DIR", "set small weights to zero"),
    "exit": _of_one(Exit, "exit MODEL [options]", "depth per example, by a threshold"),
    "measure": _of_one(Measure, "measure MODEL [options]", "size, FLOPs, latency, memory"),
    "export": _of_one(Export, "export MODEL --output FILE", "write ONNX, checked against eager"),
    "plan": _of_one(Plan, "plan SOURCE [options]", "what converting a network would do"),
    "convert": _of_one(Convert, "convert SOURCE --output DIR", "make it auto-compressing"),
    "reproduce": _of_one(Reproduce, "reproduce CLAIM --out DIR [options]", "test a claim"),
    "generate": _of_one(
        Generate, "generate MODEL --prompt TEXT --new N [options]", "go on with a text"
    ),
    "report": _of_one(Report, "report RUN", "print a run's report, write its page anew"),
}


def overview() -> str:
    """Return what ``acn --help`` shows."""
    rows = "\n".join(f"  {name:<11}{verb.purpose}" for name, verb in VERBS.items())
    return (
        "usage: acn VERB [options]\n\nTrain deep networks with long connections, probe every "
        f"depth, cut the rest.\n\nverbs:\n{rows}\n\noptions:\n  --version  show the version and "
        "leave\n  --debug    show the traceback of an error\n\n`acn VERB --help` explains a verb. "
        "A flag needs no value: --json is --json true."
    )


def explanation(verb: Verb) -> str:
    """Return what ``acn VERB --help`` shows."""
    from jsonargparse import ArgumentParser

    options = verb.options
    parser = ArgumentParser(
        prog=f"acn {options.usage.split()[0]}",
        usage=f"acn {options.usage}",
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
