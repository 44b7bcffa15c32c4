"""Run a config in its folder, which is opened only after everything has been checked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import torch
from typing_extensions import Never

from autocompress.data import Splits, description_lines
from autocompress.errors import ConfigError, DataError
from autocompress.io import write_json
from autocompress.io.seal import seal
from autocompress.network import Network
from autocompress.pipeline.compressing import run_stages
from autocompress.pipeline.config import RunConfig
from autocompress.pipeline.expecting import doubt_about_weights, doubts_about, expectation
from autocompress.pipeline.fingerprint import DATA, changes_since, description_of
from autocompress.pipeline.folder import check_run, open_run
from autocompress.pipeline.hints import option_keys
from autocompress.pipeline.hints import unknown as option_unknown
from autocompress.pipeline.inferring import inferred
from autocompress.pipeline.loading import load_for
from autocompress.pipeline.numbered import next_free
from autocompress.pipeline.recipes import read_config
from autocompress.pipeline.resolving import resolve
from autocompress.pipeline.stream import StreamRun, build_for
from autocompress.pipeline.trial import (
    check_choice,
    check_has_layers,
    check_rivals,
    check_takes,
)
from autocompress.pipeline.values import as_values, make_config
from autocompress.printing import command_line
from autocompress.report import Report, write_html
from autocompress.report.files import read_files
from autocompress.training import FitConfig, training_device
from autocompress.training.devices import process_state
from autocompress.training.inputs import steps_per_epoch
from autocompress.training.launched import launched_processes
from autocompress.training.lost import telling_of_lost

__all__ = ["compress", "opened", "write_page"]


def compress(
    run: RunConfig | str | Path,
    output: str | Path | None = None,
    *,
    resume: bool = False,
    progress: bool = True,
    **unknown: Never,
) -> Report:
    """Train, choose a depth, cut, compare and report, as ``acn compress`` does.

    Args:
        run: Settings of the run, the path of its recipe (.yaml), or the name of its data, as the
            command takes them.
        output: Run folder to create, for the networks, report.json and report.html; None uses the
            next free ``runs/NAME-N``, with NAME from the recipe or the data.
        resume: Whether to continue the run in ``output``.
        progress: Whether to describe the data and to show the progress of training.
        unknown: Any other argument, which is refused with the nearest one that exists.

    Returns:
        The report, which is the content of report.json.

    Raises:
        ConfigError: The recipe cannot be read, or options do not fit together.
        OutputError: ``output`` exists and ``resume`` is off.
        AutoCompressError: Any other of the library's errors; finished parts stay in the folder.

    Example::

        report = ac.compress("recipes/digits.yaml", "runs/digits")
        print(report["selected"], report["small"]["test"])
    """
    if unknown:
        wrong, known = next(iter(unknown)), ["output", "resume", "progress"]
        own = f"; settings of a run belong into it: ac.compress(ac.RunConfig({wrong}=...))"
        settings = list(option_keys(RunConfig))
        raise ConfigError(
            f"unknown argument {wrong!r} of compress{own}"
            if wrong in settings
            else option_unknown(wrong, [*known, *settings])
        )
    if not isinstance(run, (RunConfig, str, Path)):
        raise ConfigError(
            "compress takes a RunConfig, the path of a recipe or the name of data, not a "
            f"{type(run).__name__}; for a network and data of your own: ac.fit, then ac.probe, "
            "then ac.cut"
        )
    config = resolve(run if isinstance(run, RunConfig) else _read(str(run)))
    named = config.data.name if isinstance(run, RunConfig) else run
    folder = next_free(named) if output is None else Path(output)
    with opened(folder, "compress", config, resume, progress=progress) as (data, net, command):
        found = run_stages(
            config, data, net, folder, resume=resume, command=command, progress=progress
        )
        write_json(folder / "report.json", found)
        seal(folder / "report.json")
        report: Report = found  # type: ignore[assignment]  # its keys are checked where it is read
        write_page(folder, report, config)
    return report


def _read(run: str) -> RunConfig:
    """Return the settings of a recipe, or the default ones for data, with what follows from it."""
    if run.endswith((".yaml", ".yml")):
        return read_config(Path(run))
    return make_config(RunConfig, inferred({"data": {"name": run}})[0])


def write_page(folder: Path, report: Report, config: RunConfig) -> None:
    """Write report.html of a run.

    Args:
        folder: The run folder.
        report: Content of its report.json.
        config: Settings of the run, resolved.
    """
    commands = [
        command_line("compress", "--config", folder / "config.yaml", "--output", "NEW_FOLDER"),
        command_line("probe", folder),
        command_line("measure", folder / "small"),
    ]
    page, files = folder / "report.html", read_files(folder)
    write_html(page, report, as_values(config), commands, run=str(folder), files=files)


@contextmanager
def opened(
    folder: Path,
    verb: str,
    config: RunConfig | StreamRun,
    resume: bool = False,
    kept: str = "config.yaml",
    progress: bool = True,
) -> Iterator[tuple[Splits, Network, str]]:
    """Open a run folder: yield the run's data, its new network, and the command that resumes it.

    Nothing is written before all that the user said has been tried; then this process is the only
    one that writes to the folder.
    """
    state = process_state(config.fit)
    command = command_line(verb, "--config", folder / kept, "--output", folder, "--resume")
    if state.is_main_process:
        check_run(folder, config, resume, kept)
    data = load_for(config).to(training_device(config.fit))
    if resume and state.is_main_process:
        _check_same(folder, data)
    tells = progress and state.is_main_process
    if tells:
        print("\n".join(description_lines(data)), flush=True)
    net = build_for(config, data)
    check_has_layers(net)
    with torch.random.fork_rng(devices=[]):  # the checks leave the random state alone
        check_takes(net, data.validation)
        net.check_savable()
        if isinstance(config, RunConfig) and verb == "compress":
            check_rivals(config, data, net.depth)
    if isinstance(config, RunConfig):
        fit = config.fit
        net.to(training_device(fit))
        check_choice(_left_by(fit, net), config.select, data.validation)
        steps_per_epoch(data.train, fit.batch_size, fit.steps_per_epoch, fit.accumulate)
        if tells:
            _say_expectation(net, data, config, verb)
    own = open_run(folder, config, resume, kept, command)
    lost = telling_of_lost(lambda: f"{folder} keeps what was finished\nGo on by: {command}")
    with own if state.is_main_process else nullcontext(), lost:
        if state.is_main_process and not (folder / DATA).exists():
            write_json(folder / DATA, description_of(data))
        state.wait_for_everyone()
        yield data, net, command


def _left_by(fit: FitConfig, net: Network) -> Network:
    """Return a view of the layers that the cuts in a training leave, as far as that is known."""
    named = fit.cut.layers if fit.cut is not None else None
    return net if named is None or named[-1] >= net.depth else net.first(named[-1])


def _check_same(folder: Path, data: Splits) -> None:
    """Raise DataError if the data have changed since the run in ``folder`` began."""
    changed = changes_since(folder, data)
    if changed:
        raise DataError(
            f"the data {data.name} have changed since the run in {folder} began "
            f"({'; '.join(changed)}), and examples that it has trained on may be in another split "
            "now: put the data back as they were, or begin anew in another --output"
        )


def _say_expectation(net: Network, data: Splits, config: RunConfig, verb: str) -> None:
    """Print what the run will take and why its data may not carry its rule."""
    if verb == "compress":
        print("".join(f"note: {doubt}\n" for doubt in doubts_about(data, config)), end="")
    elif config.stepwise:
        print("note: acn train fine-tunes and cuts no layers; acn compress cuts in steps")
    if doubt := doubt_about_weights(config, net.depth):
        print(f"note: {doubt}")
    if launched_processes() == 1:
        expected = expectation(net, data, config, verb)
        print(f"{expected}\n" if expected else "", end="", flush=True)
