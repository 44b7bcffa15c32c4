"""Train one network of a run in its folder, or read it if that is already done."""

from __future__ import annotations

from pathlib import Path

from autocompress import io
from autocompress.data import Splits
from autocompress.errors import InterruptedRunError, LostProcessError
from autocompress.network import Network, load
from autocompress.pipeline.building import build_network
from autocompress.pipeline.config import RunConfig
from autocompress.pipeline.resolving import check_resolved
from autocompress.training import fit, training_device
from autocompress.training.devices import process_state
from autocompress.training.progress import read_metrics

__all__ = ["train_network"]


def train_network(
    config: RunConfig,
    data: Splits,
    folder: Path,
    *,
    resume: bool = False,
    title: str = "training",
    command: str | None = None,
    start: Network | None = None,
    teacher: Network | None = None,
    progress: bool = True,
) -> tuple[Network, float]:
    """Train the network of ``config`` in ``folder``: metrics.jsonl, checkpoints/, finally model/.

    Args:
        config: Settings of the run, resolved; its selection and rivals are ignored.
        data: Data of the run.
        folder: Run folder, or a rival's folder in it.
        resume: Whether to continue from what ``folder`` holds.
        title: Name in the progress bar.
        command: Command that resumes the run, for the message of an interruption.
        start: Network to train, in place; None builds the config's.
        teacher: Network whose outputs it learns beside the labels; None: labels alone.
        progress: Whether to show a progress bar.

    Returns:
        The network, and the seconds of its training over all sessions.

    Raises:
        ConfigError: The run is not resolved.
        CheckpointError: The metrics.jsonl of a finished training is damaged.
        AutoCompressError: Any error of :func:`autocompress.fit`.
    """
    check_resolved(config)
    model = folder / "model"
    if resume and model.exists():
        seconds = float(read_metrics(folder)[-1]["seconds"])
        return load(model, training_device(config.fit)), seconds
    net = build_network(config.model, data, config.fit.seed) if start is None else start
    try:
        run = fit(
            net,
            data.train,
            data.validation,
            config.fit,
            augment=config.augment,
            teacher=teacher,
            run=folder,
            resume=resume,
            title=title,
            progress=progress,
        )
    except (InterruptedRunError, LostProcessError) as error:
        how = f"\nOn the command line: {command}" if command else ""
        raise type(error)(f"{error}{how}") from None
    state = process_state(config.fit)
    if state.is_main_process:
        io.save(net, model)
    state.wait_for_everyone()
    return net, run.seconds
