"""What the verbs of the command ``acn`` take: their options, with the help that they show."""

from __future__ import annotations

from typing import Any

from jsonargparse import ArgumentParser

from autocompress.data import DataConfig
from autocompress.generation import generate
from autocompress.pipeline import RunConfig, StreamRun
from autocompress.reproduce import CLUSTERS, PRESETS

__all__ = [
    "takes_convert",
    "takes_cut",
    "takes_exit",
    "takes_export",
    "takes_generate",
    "takes_measure",
    "takes_plan",
    "takes_probe",
    "takes_prune",
    "takes_report",
    "takes_reproduce",
    "takes_run",
    "takes_stream",
]


def takes_run(parser: ArgumentParser) -> None:
    """Options of ``acn compress`` and ``acn train``."""
    _takes_folder(parser)
    parser.add_class_arguments(RunConfig, None)


def takes_stream(parser: ArgumentParser) -> None:
    """Options of ``acn stream``."""
    _takes_folder(parser)
    parser.add_class_arguments(StreamRun, None)


def _takes_folder(parser: ArgumentParser) -> None:
    parser.add_argument("--config", action="config", help="recipe to start from (YAML)")
    parser.add_argument("--output", type=str, required=True, help="run folder to make")
    parser.add_argument("--resume", type=bool, default=False, help="go on with the run in it")


def _takes_model(parser: ArgumentParser) -> None:
    parser.add_argument("model", type=str, help="run folder, or folder of a saved network")


def takes_probe(parser: ArgumentParser) -> None:
    """Options of ``acn probe``."""
    _takes_model(parser)
    parser.add_argument("--split", type=str, default="validation", help="train, validation, test")
    parser.add_argument("--json", type=bool, default=False, help="JSON instead of a table")
    parser.add_argument(
        "--latency_batch", type=int | None, default=None, help="also time every depth at this batch"
    )
    parser.add_argument(
        "--noise", type=str | None, default=None, help="KIND:LEVEL, e.g. gaussian:0.2 or jpeg:3"
    )
    _takes_data(parser)


def _takes_data(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--data", type=DataConfig | None, default=None, help="data, where no run says which"
    )


def takes_exit(parser: ArgumentParser) -> None:
    """Options of ``acn exit``."""
    _takes_model(parser)
    parser.add_argument(
        "--threshold",
        type=float | None,
        default=None,
        help="leave below this entropy (nats); without it, the one that --drop allows",
    )
    parser.add_argument("--drop", type=float, default=0.005, help="accuracy that may be lost")
    parser.add_argument(
        "--depths", type=list[int] | None, default=None, help="where to leave; all, if not given"
    )
    parser.add_argument("--json", type=bool, default=False, help="JSON instead of a table")
    _takes_data(parser)


def takes_cut(parser: ArgumentParser) -> None:
    """Options of ``acn cut``."""
    _takes_model(parser)
    parser.add_argument("--depth", type=int, required=True, help="blocks to keep")
    parser.add_argument("--output", type=str, required=True, help="folder for the smaller network")


def takes_prune(parser: ArgumentParser) -> None:
    """Options of ``acn prune``."""
    _takes_model(parser)
    parser.add_argument(
        "--share", type=float, required=True, help="of the blocks' matrices that becomes zero"
    )
    parser.add_argument("--output", type=str, required=True, help="folder for the sparse network")


def takes_measure(parser: ArgumentParser) -> None:
    """Options of ``acn measure``."""
    _takes_model(parser)
    parser.add_argument("--batch_sizes", type=list[int], default=[1, 256], help="batches to time")
    parser.add_argument("--json", type=bool, default=False, help="JSON instead of a table")


def takes_export(parser: ArgumentParser) -> None:
    """Options of ``acn export``."""
    _takes_model(parser)
    parser.add_argument("--output", type=str, required=True, help="NAME.onnx or NAME.pt2")


def takes_report(parser: ArgumentParser) -> None:
    """Options of ``acn report``."""
    parser.add_argument("run", type=str, help="run folder of `acn compress`")


def takes_reproduce(parser: ArgumentParser) -> None:
    """Options of ``acn reproduce``."""
    parser.add_argument("claim", type=str, nargs="?", default=None, help="which; see --list")
    parser.add_argument("--list", action="store_true", help="name all claims and leave")
    parser.add_argument("--preset", type=str, default="cpu", help=", ".join(PRESETS))
    parser.add_argument("--seeds", type=int, default=3, help="how many; each repeats every arm")
    parser.add_argument("--out", type=str | None, default=None, help="folder of the study")
    parser.add_argument(
        "--data", type=str, nargs="*", default=[], help="folders of data sets, or NAME=PLACE"
    )
    parser.add_argument("--faithful", action="store_true", help="with the authors' peculiarities")
    parser.add_argument("--jobs", type=int, default=1, help="processes on this machine")
    parser.add_argument("--cluster", type=str | None, default=None, help=", ".join(CLUSTERS))
    parser.add_argument("--check", action="store_true", help="compare with committed results")
    parser.add_argument(
        "--committed", type=str, default="benchmarks/results/reproduce", help="where those are"
    )


def _takes_source(parser: ArgumentParser) -> None:
    parser.add_argument("source", type=str, help="timm:NAME, hf:TYPE, hf:CLASS or hf:CHECKPOINT")
    parser.add_argument(
        "--arguments", type=dict[str, Any], default={}, help="what the source's constructor takes"
    )
    parser.add_argument(
        "--blocks", type=str | None, default=None, help="path of its list of layers, if several"
    )


def takes_plan(parser: ArgumentParser) -> None:
    """Options of ``acn plan``."""
    _takes_source(parser)
    parser.add_argument("--json", type=bool, default=False, help="JSON instead of a table")


def takes_convert(parser: ArgumentParser) -> None:
    """Options of ``acn convert``."""
    _takes_source(parser)
    parser.add_argument("--connectivity", type=str, default="acn", help="acn, residual, hacn, ...")
    parser.add_argument("--output", type=str, required=True, help="folder for the network")


def takes_generate(parser: ArgumentParser) -> None:
    """Options of ``acn generate``."""
    _takes_model(parser)
    parser.add_argument("--prompt", type=str | None, default=None, help="how the text begins")
    parser.add_argument("--ids", type=list[int] | None, default=None, help="its tokens, instead")
    parser.add_function_arguments(generate, None, skip={"net", "ids"})
