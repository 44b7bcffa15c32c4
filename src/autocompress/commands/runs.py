"""What compress, train and stream have in common: the options of a run folder, and opening it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from autocompress.data import Splits, description_lines
from autocompress.pipeline import (
    RunConfig,
    StreamRun,
    build_for,
    check_choice,
    check_run,
    check_takes,
    load_for,
    open_run,
)
from autocompress.training import training_device
from autocompress.training.devices import process_state
from autocompress.training.shares import telling_of_lost

__all__ = ["RunFolder", "opened"]


@dataclass(frozen=True, kw_only=True)
class RunFolder:
    """Options of compress, train and stream beside those of the run.

    Args:
        output: run folder to make.
        resume: go on with the run in it.
        print_config: print the resolved options as YAML and exit.
    """

    output: str
    resume: bool = False
    print_config: bool = False


@contextmanager
def opened(
    args: RunFolder, verb: str, config: RunConfig | StreamRun, kept: str = "config.yaml"
) -> Iterator[tuple[Splits, Path, str]]:
    """Open a run: yield its data, its folder, and the command that goes on with it.

    Nothing is written before all that the user said has been tried; then this process is the only
    one that writes to the folder.
    """
    folder, state = Path(args.output), process_state(config.fit)
    command = f"acn {verb} --config {folder / kept} --output {folder} --resume true"
    if state.is_main_process:
        check_run(folder, config, args.resume, kept)
    data = load_for(config).to(training_device(config.fit))
    if state.is_main_process:
        print("\n".join(description_lines(data)), flush=True)
    net = build_for(config, data)
    check_takes(net, data.validation)
    net.check_savable()
    if isinstance(config, RunConfig):
        check_choice(net, config.select)
    own = open_run(folder, config, args.resume, kept, command)
    lost = telling_of_lost(lambda: f"{folder} keeps what was finished\nGo on by: {command}")
    with own if state.is_main_process else nullcontext(), lost:
        state.wait_for_everyone()
        yield data, folder, command
