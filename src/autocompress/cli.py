"""The command ``acn``: verbs only. Each parses its words, calls the library and prints.

What goes wrong on purpose (an AutoCompressError) leaves with exit status 2 and one message; a
signal with 128 and its number. ``--debug`` shows the traceback.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from autocompress import __version__, arguments, interrupts
from autocompress.arguments import VERBS
from autocompress.conversion import convert, plan
from autocompress.conversion.sources import build_source
from autocompress.data import (
    DataConfig,
    Splits,
    Tokenizer,
    description_lines,
    load_data,
    noisy,
)
from autocompress.data.reading import hub_unasked
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
from autocompress.io.seal import seal
from autocompress.measurement import measure
from autocompress.pipeline import (
    Options,
    RunConfig,
    Said,
    StreamRun,
    build,
    check_choice,
    check_run,
    check_takes,
    compress,
    data_for,
    find_run,
    load_network,
    open_run,
    read_config,
    read_words,
    run_stream,
    to_yaml,
    train_network,
)
from autocompress.report import load_report, print_table, verdict, write_html
from autocompress.reproduce import list_table, reproduce
from autocompress.training import prune, sparsity, training_device
from autocompress.training.devices import one_process, process_state
from autocompress.training.shares import telling_of_lost

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status.

    Args:
        argv: its words, without ``acn``; None takes the process's own.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"] or ["--help"]
    try:
        with interrupts.listening():
            try:
                return _answer(words, debug)
            except BaseException as error:  # a library may make another of the signal's
                if debug or not interrupts.is_stop(error):
                    raise
                return _failed(interrupts.words(error), interrupts.status(error))
    except KeyboardInterrupt as error:  # one more, while the first was answered
        if debug:
            raise
        return _failed(interrupts.words(error), interrupts.status(error))


def _answer(words: list[str], debug: bool) -> int:
    """Do what the words say; the exit status."""
    try:
        _run(words)
    except InterruptedRunError:
        raise
    except AutoCompressError as error:
        if debug or interrupts.is_stop(error):
            raise
        return _failed(str(error))
    except OSError as error:  # what no part of the library foresaw: a disk that is full, say
        if debug or error.strerror is None:
            raise
        return _failed(f"{error.strerror}: {error.filename or ' '.join(words)}")
    return 0


def _run(words: Sequence[str]) -> None:
    """Do what the words say."""
    name = words[0]
    if name in ("--version", "--help", "-h"):
        print(f"acn {__version__}" if name == "--version" else arguments.overview())
        raise SystemExit(0)
    if name not in VERBS:
        raise UnknownNameError("verb", name, VERBS)
    options = VERBS[name].options
    if not {"--help", "-h"}.isdisjoint(words):
        print(arguments.explanation(VERBS[name]))
        raise SystemExit(0)
    if name != "train":
        one_process(f"acn {name}")
    said = read_words(words[1:], options)
    own: Any = build(options.own, said.own)
    if options.sections is None:
        _ACTIONS[name](own)
        return
    config: Any = build(options.sections, said.sections)
    if own.print_config:
        print(to_yaml(config), end="")
        return
    _say_unused(name, options, said, config)
    _ACTIONS[name](own, config)


def _failed(message: str, status: int = 2) -> int:
    print(f"acn: error: {message}", file=sys.stderr)
    return status


# -- what the verbs do -----------------------------------------------------------------------------


def _compress(args: arguments.RunFolder, config: RunConfig) -> None:
    with _open(args, "compress", config) as (data, folder, command):
        report = compress(config, data, folder, resume=args.resume, command=command)
        write_json(folder / "report.json", report)
        seal(folder / "report.json")
        _show(folder)


def _train(args: arguments.RunFolder, config: RunConfig) -> None:
    with _open(args, "train", config) as (data, folder, command):
        train_network(config, data, folder, resume=args.resume, command=command)
    state = process_state(config.fit)
    if state.is_main_process:
        by = f", by {state.num_processes} processes" if state.num_processes > 1 else ""
        print(f"trained{by}: {folder / 'model'}\nnext: acn probe {folder}")


def _stream(args: arguments.RunFolder, config: StreamRun) -> None:
    with _open(args, "stream", config, "stream.yaml") as (data, folder, command):
        stream = run_stream(config, data, folder, resume=args.resume, command=command)
    depth = stream.select()
    words = f"read after {depth} layers" if depth else "read before the first layer"
    print(f"{stream.matrix()}\n{words}: {stream.matrix(depth).averages()}")
    print(f"the stream: {folder / 'stream.json'}, {folder / 'matrix.png'}")


def _probe(args: arguments.Probe) -> None:
    net = load_network(Path(args.model))
    data = _data(Path(args.model), args.data)
    examples = {"train": data.train, "validation": data.validation, "test": data.test}[args.split]
    if args.noise is not None:
        examples = noisy(examples, args.noise)
    check_takes(net, examples)
    curve = probe(net, examples, latency_batch=args.latency_batch)
    if args.json:
        print(json.dumps(curve.to_json(), allow_nan=False))
    elif args.split == "validation":
        print(f"{curve}\nBy the default rule: {curve.select()}")
    else:
        print(
            f"{curve}\nScores on {args.split}: no depth is chosen by them, since a depth is chosen "
            "on validation data only (--split validation)."
        )


def _cut(args: arguments.Cut) -> None:
    net = load_network(Path(args.model))
    small = cut(net, args.depth)
    save(small, args.output)
    print(f"cut from {net.depth} blocks to {small.depth}: {args.output}")


def _prune(args: arguments.Prune) -> None:
    net = load_network(Path(args.model))
    prune(net, args.share)
    save(net, args.output)
    print(f"pruned: {args.output}, {100 * sparsity(net):.1f} % of the blocks' matrices is zero")


def _exit(args: arguments.Exit) -> None:
    net = load_network(Path(args.model))
    data = _data(Path(args.model), args.data)
    found = exit_curve(net, data.validation, depths=args.depths)
    chosen = (
        found.calibrate(0.005 if args.drop is None else args.drop).threshold
        if args.threshold is None
        else args.threshold
    )
    point = exit_curve(net, data.test, depths=args.depths).at(chosen)
    if args.json:
        validation, test = asdict(found.at(chosen)), asdict(point)
        shown = {"validation": validation, "test": test, "full": found.full_flops}
        print(json.dumps(shown, allow_nan=False))
        return
    print(
        f"Validation. {found}\nTest, threshold {chosen:.3f} nats: {100 * point.score:.2f} %, "
        f"mean depth {point.depth:.2f} of {net.depth}, {point.flops / 1e6:.2f} MFLOPs per example, "
        f"{found.full_flops / point.flops:.2f} times less than full depth"
    )


def _measure(args: arguments.Measure) -> None:
    net = load_network(Path(args.model))
    result = measure(net, net.example(), args.batch_sizes)
    print(json.dumps(result.to_json(), allow_nan=False) if args.json else result)


def _export(args: arguments.Export) -> None:
    net = load_network(Path(args.model))
    check = export(net, args.output, net.example())
    print(f"exported: {args.output}, at most {check.max_abs_difference:.1e} from eager")


def _generate(args: arguments.Generate) -> None:
    net = load_network(Path(args.model))
    tokenizer = None if net.tokenizer is None else Tokenizer(net.tokenizer)
    if args.ids is None and tokenizer is None:
        raise ConfigError(f"{args.model} has no tokenizer.json: give tokens, --ids '[5, 12]'")
    start = args.ids
    if args.prompt is not None and tokenizer is not None:
        start = tokenizer.encode([args.prompt])[0]
    found = generate(
        net,
        torch.tensor([start], dtype=torch.long),
        args.new,
        draft_depth=args.draft_depth,
        draft_length=args.draft_length,
        draft_confidence=args.draft_confidence,
        stop=args.stop,
    )
    tokens = found.ids[0].tolist()
    print(tokens if tokenizer is None else tokenizer.decode(tokens))


def _report(args: arguments.Report) -> None:
    _show(Path(args.run))


def _plan(args: arguments.Plan) -> None:
    with torch.device("meta"):  # shapes are enough
        model = build_source(args.source, args.arguments)
    found = plan(model, blocks=args.blocks)
    print(json.dumps(asdict(found), default=str, allow_nan=False) if args.json else found)
    if not found:
        raise ConvertError(f"{found.model} cannot be converted")


def _convert(args: arguments.Convert) -> None:
    net = convert(args.source, args.connectivity, blocks=args.blocks, arguments=args.arguments)
    save(net, args.output)
    print(f"converted: {args.output}, {net.depth} layers, connectivity {args.connectivity}")


def _reproduce(args: arguments.Reproduce) -> None:
    if args.claim is None or args.out is None:  # which goes with the list only
        print(list_table())
        return
    record = reproduce(
        args.claim,
        args.out,
        preset=args.preset,
        seeds=args.seeds,
        data=list(args.data),
        faithful=args.faithful,
        jobs=args.jobs,
        cluster=args.cluster,
    )
    print(record)
    print(f"\nresults: {Path(args.out) / 'results.json'}")
    if args.check:
        print(record.check(args.committed or "benchmarks/results/reproduce"))


@contextmanager
def _open(
    args: arguments.RunFolder, verb: str, config: RunConfig | StreamRun, kept: str = "config.yaml"
) -> Iterator[tuple[Splits, Path, str]]:
    """The data of a run, its folder, and the command that goes on with it.

    Nothing is written before all that the user said has been tried; then this process is the only
    one that writes to the folder.
    """
    folder, state = Path(args.output), process_state(config.fit)
    command = f"acn {verb} --config {folder / kept} --output {folder} --resume true"
    if state.is_main_process:
        check_run(folder, config, args.resume, kept)
    data = config.load().to(training_device(config.fit))
    if state.is_main_process:
        print("\n".join(description_lines(data)), flush=True)
    net = config.build(data)
    check_takes(net, data.validation)
    net.check_savable()
    if isinstance(config, RunConfig):
        check_choice(net, config.select)
    own = open_run(folder, config, args.resume, kept, command)
    lost = telling_of_lost(lambda: f"{folder} keeps what was finished\nGo on by: {command}")
    with own if state.is_main_process else nullcontext(), lost:
        state.wait_for_everyone()
        yield data, folder, command


def _say_unused(name: str, options: Options, said: Said, config: Any) -> None:
    """Say which options of a recipe this verb does not use, where they ask for something."""
    used = {key: value for key, value in said.sections.items() if key not in options.unused}
    plain = build(type(config), used)
    changed = [
        key
        for key in options.unused
        if key in said.from_recipe and getattr(config, key) != getattr(plain, key)
    ]
    if changed:
        print(
            f"acn {name} does not use what the recipe says of {', '.join(changed)}; "
            "acn compress does",
            file=sys.stderr,
        )


def _data(path: Path, given: DataConfig | None) -> Splits:
    """The data named on the command line, else those of the run that ``path`` belongs to."""
    if given is None:
        run = find_run(path)
        if run is None:
            raise ConfigError(f"{path} belongs to no run: name the data, e.g. --data.name digits")
        given = read_config(run / "config.yaml").data
        with hub_unasked(given.name, run / "config.yaml"):
            return load_data(data_for(given, str(path)))
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


_ACTIONS: dict[str, Callable[..., None]] = {
    "compress": _compress,
    "train": _train,
    "stream": _stream,
    "probe": _probe,
    "cut": _cut,
    "prune": _prune,
    "exit": _exit,
    "measure": _measure,
    "export": _export,
    "plan": _plan,
    "convert": _convert,
    "reproduce": _reproduce,
    "generate": _generate,
    "report": _report,
}


if __name__ == "__main__":
    sys.exit(main())
