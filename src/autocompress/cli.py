"""The command ``acn``: verbs only. Each parses its words, calls the library and prints.

What goes wrong on purpose (an AutoCompressError) leaves with exit status 2 and one message;
``--debug`` shows the traceback.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from accelerate import PartialState
from jsonargparse import ArgumentError, ArgumentParser, Namespace

from autocompress import __version__, arguments
from autocompress.convert import convert, plan
from autocompress.convert.sources import build_source
from autocompress.data import (
    DataConfig,
    Splits,
    Tokenizer,
    description_lines,
    load_data,
    noisy,
)
from autocompress.depth import cut, exit_curve, probe
from autocompress.errors import (
    AutoCompressError,
    ConfigError,
    ConvertError,
    InterruptedRunError,
    UnknownNameError,
)
from autocompress.generation import generate
from autocompress.io import export, save, write_json
from autocompress.measure import measure
from autocompress.pipeline import (
    RunConfig,
    StreamRun,
    check_choice,
    check_run,
    check_takes,
    compress,
    data_for,
    explain,
    find_run,
    load_network,
    open_run,
    option_keys,
    read_config,
    run_stream,
    to_yaml,
    train_network,
)
from autocompress.report import load_report, print_table, verdict, write_html
from autocompress.reproduce import list_table, reproduce
from autocompress.training import prune, sparsity, training_device

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status.

    Args:
        argv: its words, without ``acn``; None takes the process's own.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"] or ["--help"]
    parser, verbs = _parser()
    try:
        parsed = parser.parse_args(words)
        verb, run = verbs[parsed.verb]
        run(verb.instantiate(parsed[parsed.verb]))
    except ArgumentError as error:
        if debug:
            raise
        keys = option_keys(StreamRun if words[0] == "stream" else RunConfig)
        return _failed(explain(str(error), keys))
    except AutoCompressError as error:
        if debug:
            raise
        return _failed(str(error))
    except OSError as error:  # what no part of the library foresaw: a disk that is full, say
        if debug or error.strerror is None:
            raise
        return _failed(f"{error.strerror}: {error.filename or ' '.join(words)}")
    except KeyboardInterrupt:
        return _failed("stopped")
    return 0


def _failed(message: str) -> int:
    print(f"acn: error: {message}", file=sys.stderr)
    return 2


# -- what the verbs do -----------------------------------------------------------------------------


def _compress(args: Namespace) -> None:
    if PartialState().num_processes > 1:
        raise ConfigError(
            "acn compress runs in one process; train with several by `accelerate launch -m "
            "autocompress.cli train ...`, then probe, cut and export"
        )
    config = _run_config(args)
    data, folder, command = _open(args, "compress", config)
    try:
        report = compress(config, data, folder, resume=args.resume, command=command)
    except KeyboardInterrupt:  # between two trainings, which say it themselves
        raise InterruptedRunError(
            f"stopped; {folder} keeps the networks that are trained\nOn the command line: {command}"
        ) from None
    write_json(folder / "report.json", report)
    _show(folder)


def _train(args: Namespace) -> None:
    config = _run_config(args)
    data, folder, command = _open(args, "train", config)
    train_network(config, data, folder, resume=args.resume, command=command)
    print(f"trained: {folder / 'model'}\nnext: acn probe {folder}")


def _stream(args: Namespace) -> None:
    if PartialState().num_processes > 1:
        raise ConfigError("acn stream runs in one process")
    config = StreamRun(**{key: args[key] for key in StreamRun.__dataclass_fields__})
    data, folder, command = _open(args, "stream", config, "stream.yaml")
    stream = run_stream(config, data, folder, resume=args.resume, command=command)
    depth = stream.select()
    words = f"read after {depth} layers" if depth else "read before the first layer"
    print(f"{stream.matrix()}\n{words}: {stream.matrix(depth).averages()}")
    print(f"the stream: {folder / 'stream.json'}, {folder / 'matrix.png'}")


def _probe(args: Namespace) -> None:
    net = load_network(Path(args.model))
    data = _data(Path(args.model), args.data)
    splits = {"train": data.train, "validation": data.validation, "test": data.test}
    if args.split not in splits:
        raise UnknownNameError("split", args.split, splits)
    examples = splits[args.split]
    if args.noise is not None:
        examples = noisy(examples, args.noise)
    check_takes(net, examples)
    curve = probe(net, examples, latency_batch=args.latency_batch)
    if args.json:
        print(json.dumps(curve.to_json()))
    else:
        print(f"{curve}\nBy the default rule: {curve.select()}")


def _cut(args: Namespace) -> None:
    net = load_network(Path(args.model))
    small = cut(net, args.depth)
    save(small, args.output)
    print(f"cut from {net.depth} blocks to {small.depth}: {args.output}")


def _prune(args: Namespace) -> None:
    net = load_network(Path(args.model))
    prune(net, args.share)
    save(net, args.output)
    print(f"pruned: {args.output}, {100 * sparsity(net):.1f} % of the blocks' matrices is zero")


def _exit(args: Namespace) -> None:
    net = load_network(Path(args.model))
    data = _data(Path(args.model), args.data)
    found = exit_curve(net, data.validation, depths=args.depths)
    chosen = found.calibrate(args.drop).threshold if args.threshold is None else args.threshold
    point = exit_curve(net, data.test, depths=args.depths).at(chosen)
    if args.json:
        validation, test = asdict(found.at(chosen)), asdict(point)
        print(json.dumps({"validation": validation, "test": test, "full": found.full_flops}))
        return
    print(
        f"Validation. {found}\nTest, threshold {chosen:.3f} nats: {100 * point.score:.2f} %, "
        f"mean depth {point.depth:.2f} of {net.depth}, {point.flops / 1e6:.2f} MFLOPs per example, "
        f"{found.full_flops / point.flops:.2f} times less than full depth"
    )


def _measure(args: Namespace) -> None:
    net = load_network(Path(args.model))
    result = measure(net, net.example(), args.batch_sizes)
    print(json.dumps(result.to_json()) if args.json else result)


def _export(args: Namespace) -> None:
    net = load_network(Path(args.model))
    check = export(net, args.output, net.example())
    print(f"exported: {args.output}, at most {check.max_abs_difference:.1e} from eager")


def _generate(args: Namespace) -> None:
    options = dict(vars(args))
    model, prompt, ids = (options.pop(name) for name in ("model", "prompt", "ids"))
    net = load_network(Path(model))
    tokenizer = None if net.tokenizer is None else Tokenizer(net.tokenizer)
    if (prompt is None) == (ids is None):
        raise ConfigError("say how the text begins: --prompt TEXT, or its tokens, --ids '[5, 12]'")
    if ids is None and tokenizer is None:
        raise ConfigError(f"{model} has no tokenizer.json: give tokens, --ids '[5, 12]'")
    start = ids if tokenizer is None or prompt is None else tokenizer.encode([prompt])[0]
    found = generate(net, torch.tensor([start], dtype=torch.long), **options)
    tokens = found.ids[0].tolist()
    print(tokens if tokenizer is None else tokenizer.decode(tokens))


def _report(args: Namespace) -> None:
    _show(Path(args.run))


def _plan(args: Namespace) -> None:
    with torch.device("meta"):  # shapes are enough
        model = build_source(args.source, args.arguments)
    found = plan(model, blocks=args.blocks)
    print(json.dumps(asdict(found), default=str) if args.json else found)
    if not found:
        raise ConvertError(f"{found.model} cannot be converted")


def _convert(args: Namespace) -> None:
    net = convert(args.source, args.connectivity, blocks=args.blocks, arguments=args.arguments)
    save(net, args.output)
    print(f"converted: {args.output}, {net.depth} layers, connectivity {args.connectivity}")


def _reproduce(args: Namespace) -> None:
    if args.list or args.claim is None:
        print(list_table())
        return
    if args.out is None:
        raise ConfigError(f"name a folder for the results: acn reproduce {args.claim} --out DIR")
    record = reproduce(
        args.claim,
        args.out,
        preset=args.preset,
        seeds=args.seeds,
        data=args.data,
        faithful=args.faithful,
        jobs=args.jobs,
        cluster=args.cluster,
    )
    print(record)
    print(f"\nresults: {Path(args.out) / 'results.json'}")
    if args.check:
        print(record.check(args.committed))


def _open(
    args: Namespace, verb: str, config: RunConfig | StreamRun, kept: str = "config.yaml"
) -> tuple[Splits, Path, str]:
    """The data of a run, its folder, and the command that goes on with it.

    Nothing is written before all that the user said has been tried.
    """
    folder, text = Path(args.output), to_yaml(config)
    state = PartialState()
    if state.is_main_process:
        check_run(folder, text, args.resume, kept)
    data = config.load().to(training_device(config.fit))
    if state.is_main_process:
        print("\n".join(description_lines(data)), flush=True)
    net = config.build(data)
    check_takes(net, data.validation)
    if isinstance(config, RunConfig):
        check_choice(net, config.select)
    if state.is_main_process:
        open_run(folder, text, kept)
    state.wait_for_everyone()
    return data, folder, f"acn {verb} --config {folder / kept} --output {folder} --resume true"


def _run_config(args: Namespace) -> RunConfig:
    return RunConfig(**{key: args[key] for key in RunConfig.__dataclass_fields__})


def _data(path: Path, given: DataConfig | None) -> Splits:
    """The data named on the command line, else those of the run that ``path`` belongs to."""
    if given is None:
        run = find_run(path)
        if run is None:
            raise ConfigError(f"{path} belongs to no run: name the data, e.g. --data.name digits")
        given = read_config(run / "config.yaml").data
    return load_data(data_for(given, str(path)))  # texts by the network's own tokenizer


def _show(folder: Path) -> None:
    """Print the report of ``folder`` and write its page."""
    report = load_report(folder / "report.json")
    config = read_config(folder / "config.yaml")
    commands = [
        f"acn compress --config {folder / 'config.yaml'} --output NEW_FOLDER",
        f"acn probe {folder}",
        f"acn measure {folder / 'small'}",
    ]
    write_html(folder / "report.html", report, asdict(config), commands)
    print_table(report)
    print(f"\n{verdict(report)}\n\nThe page: {folder / 'report.html'}")
    if report["checks"]["onnx_max_abs_difference"] is None:
        words = f"acn export {folder / 'small'} --output {folder / 'small.onnx'}"
        print(f"No small.onnx: `{words}` says why, e.g. that the extra 'onnx' is missing.")


_Run = Callable[[Namespace], None]
_Takes = Callable[[ArgumentParser], None]
_RUN = "--config RECIPE.yaml --output RUN [--SECTION.KEY VALUE ...]"

#: verb: (options, action, usage, what it is for)
_VERBS: dict[str, tuple[_Takes, _Run, str, str]] = {
    "compress": (arguments.takes_run, _compress, _RUN, "all of it, from data to a report"),
    "train": (arguments.takes_run, _train, _RUN, "train one network"),
    "stream": (arguments.takes_stream, _stream, _RUN, "one task after another, what is forgotten"),
    "probe": (arguments.takes_probe, _probe, "MODEL [options]", "score and cost of every depth"),
    "cut": (arguments.takes_cut, _cut, "MODEL --depth K --output DIR", "keep the first blocks"),
    "prune": (
        arguments.takes_prune,
        _prune,
        "MODEL --share S --output DIR",
        "set the smallest weights to zero",
    ),
    "exit": (arguments.takes_exit, _exit, "MODEL [options]", "depth per example, by a threshold"),
    "measure": (
        arguments.takes_measure,
        _measure,
        "MODEL [options]",
        "size, FLOPs, latency, memory",
    ),
    "export": (
        arguments.takes_export,
        _export,
        "MODEL --output FILE",
        "write ONNX, checked against eager",
    ),
    "plan": (arguments.takes_plan, _plan, "SOURCE [options]", "what converting a network would do"),
    "convert": (
        arguments.takes_convert,
        _convert,
        "SOURCE --output DIR",
        "make it auto-compressing",
    ),
    "reproduce": (
        arguments.takes_reproduce,
        _reproduce,
        "CLAIM --out DIR [options]",
        "test a claim",
    ),
    "generate": (
        arguments.takes_generate,
        _generate,
        "MODEL --prompt TEXT [options]",
        "go on with a text",
    ),
    "report": (arguments.takes_report, _report, "RUN", "print a run's report, write its page anew"),
}


def _parser() -> tuple[ArgumentParser, dict[str, tuple[ArgumentParser, _Run]]]:
    parser = ArgumentParser(
        prog="acn",
        usage="acn VERB [options]",
        description="Train deep networks with long connections, probe every depth, cut the rest.",
        epilog="`acn VERB --help` explains a verb. --debug shows the traceback of an error.",
        exit_on_error=False,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"acn {__version__}")
    subcommands = parser.add_subcommands(required=True, dest="verb", metavar="VERB")
    verbs = {}
    for name, (takes, run, usage, words) in _VERBS.items():
        verb = ArgumentParser(
            usage=f"acn {name} {usage}",
            description=f"{words[0].upper()}{words[1:]}.",
            exit_on_error=False,
            allow_abbrev=False,
        )
        takes(verb)
        subcommands.add_subcommand(name, verb, help=words)
        verbs[name] = (verb, run)
    return parser, verbs


if __name__ == "__main__":
    sys.exit(main())
