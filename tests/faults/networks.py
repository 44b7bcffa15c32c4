"""What the mutated inputs act on: a run folder of a tiny network, made once and copied."""

from __future__ import annotations

import functools
import shutil
import tempfile
from pathlib import Path

import autocompress as ac
from autocompress.pipeline import RunConfig, to_yaml
from faults.watch import watched


@functools.cache
def _original() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="acn-faults-"))
    net = ac.models.MLP(depth=2, width=4, classes=10, image_size=8, channels=1)
    ac.save(net, folder / "model")
    (folder / "config.yaml").write_text(to_yaml(RunConfig()))
    return folder


def tiny_run(folder: Path) -> Path:
    """Return RUN in ``folder`` with config.yaml and a network that takes the digits."""
    shutil.copytree(_original(), folder / "run", dirs_exist_ok=True)
    return folder / "run"


@functools.cache
def finished_run(*words: str) -> Path:
    """Return the folder of a finished run of ``acn``, made once from these words."""
    folder = Path(tempfile.mkdtemp(prefix="acn-faults-")) / "run"
    outcome = watched([*words, "--output", str(folder)])
    assert outcome.status == 0, outcome.said
    return folder


def warm_up() -> None:
    """Import what commands import when they need it, so that no trial is measured with it."""
    with tempfile.TemporaryDirectory() as folder:
        run = tiny_run(Path(folder))
        for words in (
            ["probe", str(run)],
            ["plan", "hf:NoSuchClass"],
            ["plan", "timm:no_such_network"],
        ):
            watched(words)
