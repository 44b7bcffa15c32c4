"""``acn doctor``: show what is installed, what works, and how to fix what does not."""

from __future__ import annotations

import os
import platform
import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from importlib import import_module, metadata

import torch

from autocompress.commands.common import Answer, Common
from autocompress.report.units import si
from autocompress.version import __version__

__all__ = ["Check", "Options", "checked", "run"]

#: Optional packages by the extra that installs them; "" for packages that are always needed.
_PACKAGES = {
    "accelerate": "",
    "datasets": "",
    "tokenizers": "",
    "safetensors": "",
    "torchvision": "timm",
    "timm": "timm",
    "transformers": "transformers",
    "onnx": "onnx",
    "onnxruntime": "onnx",
    "onnxscript": "onnx",
    "pytorch_optimizer": "optim",
    "ray": "ray",
}
_COMMON = (
    "of the same build (CPU or CUDA) and of versions that go together, e.g. "
    "`pip install --force-reinstall torch torchvision` from one index"
)


@dataclass(frozen=True, kw_only=True)
class Options(Common):
    """Options of ``acn doctor``."""


@dataclass(frozen=True)
class Check:
    """One line of the answer.

    Args:
        what: The thing that was checked.
        found: Result of the check.
        fix: Advice; empty if nothing is wrong.
    """

    what: str
    found: str
    fix: str = ""


def run(args: Options) -> Answer:
    """Check everything; the answer lists the results, problems last."""
    checks = [*_machine(), *_devices(), *map(_package, _PACKAGES), *_compilers()]
    width = max(len(check.what) for check in checks)
    lines = [f"{check.what:<{width}}  {check.found}" for check in checks]
    problems = [f"{check.what}: {check.fix}" for check in checks if check.fix]
    said = "\n".join(["", "To mend:", *problems]) if problems else "\nNo problem found."
    return Answer("\n".join([*lines, said]), [asdict(check) for check in checks])


def _machine() -> Iterable[Check]:
    yield Check("autocompress", f"{__version__}, Python {platform.python_version()}")
    yield Check("torch", torch.__version__)
    cores, threads = os.cpu_count() or 1, torch.get_num_threads()
    policy = os.environ.get("OMP_WAIT_POLICY", "not set")
    yield Check("processor", f"{cores} cores, {threads} threads, OMP_WAIT_POLICY {policy}")
    free = shutil.disk_usage(".").free
    fix = "free some space: checkpoints and networks are written there" if free < 2**30 else ""
    yield Check("free disk", f"{si(free, 'B')} in {os.getcwd()}", fix)


def _devices() -> Iterable[Check]:
    for number in range(torch.cuda.device_count()):
        found = torch.cuda.get_device_properties(number)
        bf16 = "bfloat16" if torch.cuda.is_bf16_supported() else "no bfloat16"
        yield Check(f"cuda:{number}", f"{found.name}, {si(found.total_memory, 'B')}, {bf16}")
    if not torch.cuda.is_available():
        built = torch.version.cuda
        fix = f"torch is built for CUDA {built}, and no driver answers: see `nvidia-smi`"
        yield Check("cuda", "none", fix if built else "")
    if torch.backends.mps.is_available():
        yield Check("mps", "available")


def _package(name: str) -> Check:
    """Import a package, since its version alone does not show that it works."""
    try:
        version = metadata.version(name.replace("_", "-"))
    except metadata.PackageNotFoundError:
        extra = _PACKAGES[name]
        wanted = f"pip install 'autocompress[{extra}]'" if extra else f"pip install {name}"
        return Check(name, f"not installed ({wanted})", "" if extra else wanted)
    error = checked(lambda: import_module(name))
    fix, found = "", f"{version}, does not import: {error}" if error else version
    if name == "torchvision" and (error or not hasattr(torch.ops.torchvision, "_cuda_version")):
        found = found if error else f"{version}, whose compiled operators do not load"
        fix = (
            f"torch {torch.__version__} and torchvision {version} have to be {_COMMON}. Until then "
            "timm and transformers import in `acn` and after `import autocompress` only"
        )
    elif error:
        fix = f"pip install --force-reinstall {name}; if it imports torchvision, see there"
    return Check(name, found, fix)


def _compilers() -> Iterable[Check]:
    """Compile a small function on each device, and time it."""
    devices = ["cpu", *(f"cuda:{n}" for n in range(torch.cuda.device_count()))]
    for device in devices:
        torch._dynamo.reset()
        begin = time.perf_counter()
        x = torch.ones(4, device=device)
        error = checked(lambda x=x: torch.compile(torch.nn.functional.gelu)(x))  # type: ignore[misc]
        seconds = time.perf_counter() - begin
        needed = "a C++ compiler (g++)" if device == "cpu" else "triton and a C compiler"
        fix = f"torch.compile needs {needed}; training works without it (fit.compile)"
        found = f"fails: {error}" if error else f"works, {seconds:.1f} s for a small function"
        yield Check(f"torch.compile, {device}", found, fix if error else "")


def checked(attempt: Callable[[], object]) -> str:
    """Return the first line of the error; empty if nothing goes wrong."""
    try:
        attempt()
    except Exception as error:  # a faulty installation may raise anything
        return f"{type(error).__name__}: {error}".splitlines()[0][:200]
    return ""
