"""Settings, data, networks and clocks that the parts of benchmarks/gpu.py share."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

import autocompress as ac
from autocompress.data import TensorSource
from autocompress.io import write_json
from autocompress.training import DistilConfig

__all__ = [
    "ARMS",
    "Arm",
    "Clock",
    "Settings",
    "Setup",
    "StepClock",
    "load_setup",
    "prepare",
    "read_json",
]


@dataclass(frozen=True)
class Arm:
    """How a network of part train is trained: its connectivity, its path, what teaches it."""

    connectivity: str
    path: str | None = None
    distil: DistilConfig | None = None


#: The networks of part train. ``taught`` learns as a residual network; from half of the run on, its
#: full-depth readout teaches all shallower ones.
ARMS: dict[str, Arm] = {
    "acn": Arm("acn"),
    "residual": Arm("residual"),
    "annealed": Arm("residual", path="anneal"),
    "taught": Arm("residual", distil=DistilConfig.second_half(at_once=True)),
}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of the experiment; the defaults are the paper's Mixer at 8 times its batch size.

    The learning rate is the paper's 1e-3 for a batch of 64, times the square root of 8, the rule
    for Adam (Malladi et al., NeurIPS 2022). Ten epochs of warm-up are the authors' number.
    """

    depth: int = 16
    width: int = 128
    token_width: int = 64
    channel_width: int = 512
    image_size: int = 32
    patch_size: int = 4
    channels: int = 3
    batch_size: int = 512
    lr: float = 1e-3 * 8**0.5
    warmup_epochs: float = 10.0
    weight_decay: float = 0.01
    precision: str = "bf16"
    arms: tuple[str, ...] = ("acn", "residual", "annealed", "taught")
    modes: tuple[str, ...] = ("off", "reduce-overhead", "default")
    crop_padding: int = 4
    flip: bool = True
    cutmix: float = 0.5
    auto_augment: bool = False
    validation: float = 0.1
    fewest_epochs: int = 100
    timed_steps: int = 60
    seed: int = 0
    tiny: bool = False


TINY = Settings(
    depth=3,
    width=16,
    token_width=8,
    channel_width=32,
    image_size=8,
    batch_size=32,
    warmup_epochs=0.5,
    arms=("acn", "annealed", "taught"),
    modes=("off",),
    crop_padding=1,
    fewest_epochs=2,
    timed_steps=4,
    tiny=True,
)


@dataclass
class Setup:
    """Settings, device and data; ``progress`` writes the results of a part so far."""

    settings: Settings
    device: torch.device
    work: Path
    train: TensorSource
    validation: TensorSource
    test: TensorSource
    preprocess: dict[str, Any]
    progress: Callable[[dict[str, Any]], None] = field(default=lambda found: None)

    def network(self, connectivity: str, seed: int | None = None, depth: int | None = None) -> Any:
        """Return a new network on the CPU; the same seed gives the same weights."""
        s = self.settings
        torch.manual_seed(s.seed if seed is None else seed)
        net = ac.models.Mixer(
            depth=depth or s.depth,
            width=s.width,
            classes=10,
            image_size=s.image_size,
            patch_size=s.patch_size,
            channels=s.channels,
            token_width=s.token_width,
            channel_width=s.channel_width,
            pool="class",
            end_stage=True,
            connectivity=connectivity,
        )
        net.preprocess = self.preprocess
        return net

    def augment(self, **changes: Any) -> ac.AugmentConfig:
        """Return the augmentation of the training images."""
        s = self.settings
        options = {
            "crop_padding": s.crop_padding,
            "flip": s.flip,
            "cutmix": s.cutmix,
            "auto_augment": s.auto_augment,
        }
        return ac.AugmentConfig(**(options | changes))

    def fit_config(self, epochs: int, compile: str, **changes: Any) -> ac.FitConfig:
        """Return the settings of a training."""
        s = self.settings
        options: dict[str, Any] = {
            "epochs": epochs,
            "batch_size": s.batch_size,
            "lr": s.lr,
            "warmup_epochs": min(s.warmup_epochs, epochs / 4),
            "weight_decay": s.weight_decay,
            "precision": s.precision,
            "compile": compile,
            "seed": s.seed,
            "device": "auto" if self.device.type == "cuda" else "cpu",
        }
        return ac.FitConfig(**(options | changes))

    @property
    def steps(self) -> int:
        """Return the number of steps in an epoch."""
        return max(1, len(self.train) // self.settings.batch_size)


class Clock:
    """A clock that counts down.

    Args:
        seconds: Time for everything, from now on.
    """

    def __init__(self, seconds: float) -> None:
        self.end = time.monotonic() + seconds

    def left(self) -> float:
        """Return the seconds until the end; they are negative after it."""
        return self.end - time.monotonic()


class StepClock(ac.training.Hook):
    """A hook that measures seconds per training step over windows of several steps.

    The device is idle at both ends of a window.

    Args:
        device: Device of the training.
        warmup: Number of steps before the first window, for compilation and memory allocation.
        window: Number of steps in a window.
    """

    def __init__(self, device: torch.device, warmup: int, window: int = 10) -> None:
        self.device, self.warmup, self.window = device, warmup, window
        self.seconds: list[float] = []
        self._step, self._since = 0, 0.0

    def after_step(self, net: ac.Network) -> None:
        self._step += 1
        into = self._step - self.warmup
        if into < 0 or into % self.window:
            return
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        now = time.perf_counter()
        if into:
            self.seconds.append((now - self._since) / self.window)
        self._since = now


def prepare(args: argparse.Namespace, work: Path) -> Setup:
    """Decode the data once, and write them to ``work`` with the settings, also for the workers."""
    settings = TINY if args.tiny else Settings()
    if args.modes:
        settings = Settings(**(asdict(settings) | {"modes": tuple(args.modes.split(","))}))
    work.mkdir(parents=True, exist_ok=True)
    said = {"settings": asdict(settings), "data": args.data}
    if (read_json(work / "setup.json") or {}).get("said") != json.loads(json.dumps(said)):
        tensors, preprocess = _made_up(settings) if args.tiny else _decoded(args.data, settings)
        save_file(tensors, work / "data.safetensors")
        write_json(work / "setup.json", {"said": said, "preprocess": preprocess})
    return load_setup(work)


def load_setup(work: Path) -> Setup:
    """Return what :func:`prepare` wrote to ``work``, with the images as bytes on the device."""
    kept = read_json(work / "setup.json")
    assert kept is not None, f"{work} has no setup.json"
    options = kept["said"]["settings"]
    options |= {"modes": tuple(options["modes"]), "arms": tuple(options["arms"])}
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    data = load_file(work / "data.safetensors", device=str(device))
    sources = {
        name: TensorSource(data[f"{name}.images"], data[f"{name}.labels"].cpu())
        for name in ("train", "validation", "test")
    }
    return Setup(Settings(**options), device, work, preprocess=kept["preprocess"], **sources)


def read_json(path: Path) -> dict[str, Any] | None:
    """Return the content of a JSON file; None if it is missing or incomplete."""
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return found


def _decoded(data: str | None, settings: Settings) -> tuple[dict[str, torch.Tensor], Any]:
    folder = Path(data or ".")
    folder = folder / "cifar10" if (folder / "cifar10").is_dir() else folder
    splits = ac.load_data(
        ac.DataConfig(name=str(folder), validation=settings.validation, seed=settings.seed)
    )
    tensors = {}
    for name in ("train", "validation", "test"):
        source = getattr(splits, name)
        source = source if isinstance(source, TensorSource) else source.in_memory()
        tensors |= {f"{name}.images": source.images, f"{name}.labels": source.labels}
    return tensors, splits.preprocess


def _made_up(settings: Settings) -> tuple[dict[str, torch.Tensor], Any]:
    """Return noisy images of ten colours, which a small network can learn."""
    generator = torch.Generator().manual_seed(settings.seed)
    colours = torch.randint(60, 196, (10, settings.channels, 1, 1), generator=generator)
    tensors = {}
    for name, n in (("train", 320), ("validation", 80), ("test", 80)):
        labels = torch.arange(n) % 10
        shape = (n, settings.channels, settings.image_size, settings.image_size)
        noise = torch.randint(-60, 60, shape, generator=generator)
        tensors[f"{name}.images"] = (colours[labels] + noise).to(torch.uint8)
        tensors[f"{name}.labels"] = labels
    mean = [0.5] * settings.channels
    return tensors, {"scale": 1 / 255, "mean": mean, "std": [0.25] * settings.channels}
