"""``acn train``: train one network."""

from __future__ import annotations

from autocompress.commands.common import Answer
from autocompress.commands.folders import COMMON, LiveRunFolder
from autocompress.pipeline import RunConfig, train_network
from autocompress.pipeline.running import opened
from autocompress.training.devices import process_state
from autocompress.training.progress import read_metrics

__all__ = ["COMMON", "CONFIG", "UNUSED", "Options", "run"]

Options = LiveRunFolder
CONFIG = RunConfig
#: Parts of a run's config that concern only the stages after training.
UNUSED = ("select", "control", "control_init", "rivals", "heal", "stepwise", "cut_first", "teach")


def run(args: LiveRunFolder, config: RunConfig) -> Answer | None:
    """Train the network, in this process or in several together."""
    config = args.tracked(config)
    folder = args.folder(config.data.name)
    shown = not args.quiet
    first = process_state(config.fit).is_main_process
    with (
        opened(folder, "train", config, args.resume, progress=shown) as (data, net, command),
        args.following(folder, first),
    ):
        _, seconds = train_network(
            config,
            data,
            folder,
            resume=args.resume,
            command=command,
            start=net,
            progress=shown,
        )
    state = process_state(config.fit)
    if not state.is_main_process:
        return None
    by = f", by {state.num_processes} processes" if state.num_processes > 1 else ""
    text = f"trained{by}: {folder / 'model'}\nnext: acn probe {folder}"
    last = read_metrics(folder)[-1]
    found = {"run": str(folder), "model": str(folder / "model"), "seconds": seconds, "last": last}
    return Answer(text, found)
