"""``acn train``: train one network."""

from __future__ import annotations

from pathlib import Path

from autocompress.commands.runs import RunFolder
from autocompress.pipeline import RunConfig, train_network
from autocompress.pipeline.running import opened
from autocompress.training.devices import process_state

__all__ = ["CONFIG", "UNUSED", "Options", "run"]

Options = RunFolder
CONFIG = RunConfig
#: Parts of a run's config that concern only the stages after training.
UNUSED = ("select", "control", "control_init", "rivals", "heal")


def run(args: RunFolder, config: RunConfig) -> None:
    """Train the network in this process, or in several together."""
    folder = Path(args.output)
    with opened(folder, "train", config, args.resume) as (data, net, command):
        train_network(config, data, folder, resume=args.resume, command=command, start=net)
    state = process_state(config.fit)
    if state.is_main_process:
        by = f", by {state.num_processes} processes" if state.num_processes > 1 else ""
        print(f"trained{by}: {folder / 'model'}\nnext: acn probe {folder}")
