"""``acn doctor``: show what is installed, what works, and how to fix what does not."""

from __future__ import annotations

import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib import import_module, metadata

import torch

from autocompress.commands.common import Answer, Common
from autocompress.report.units import si
from autocompress.version import __version__

__all__ = ["Check", "Options", "failure_of", "compiled", "run"]

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

#: Seconds for the compilation of a small function.
_LIMIT_S = 60
_CODE = (
    "import torch; x = torch.ones(4, device='{device}'); torch.compile(torch.nn.functional.gelu)(x)"
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
    error = failure_of(lambda: import_module(name))
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
    """Compile a small function on each device, in a process that has limited time."""
    devices = ["cpu", *(f"cuda:{n}" for n in range(torch.cuda.device_count()))]
    for device in devices:
        print(
            f"compiling a small function on {device}: seconds, at most {_LIMIT_S}",
            file=sys.stderr,
            flush=True,
        )
        yield compiled(device, _LIMIT_S)


def compiled(device: str, limit_s: float) -> Check:
    """Compile a small function, and time it; stop it after ``limit_s`` seconds."""
    code = _CODE.format(device=device)
    begin = time.perf_counter()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdout=subprocess.DEVNULL,
            stderr=said,
            start_new_session=True,
        )
        try:
            failed = process.wait(limit_s) != 0
            found = f"works, {time.perf_counter() - begin:.1f} s for a small function"
        except subprocess.TimeoutExpired:
            return Check(
                f"torch.compile, {device}",
                f"not finished after {limit_s:.0f} s, where a machine without other work needs "
                "about 10: not known whether it works",
            )
        finally:
            _end(process)
        said.seek(0)
        lines = said.read().decode(errors="replace").strip().splitlines()
    needed = "a C++ compiler (g++)" if device == "cpu" else "triton and a C compiler"
    fix = f"torch.compile needs {needed}; training works without it (fit.compile)"
    found = f"fails: {(lines or ['no reason given'])[-1][:200]}" if failed else found
    return Check(f"torch.compile, {device}", found, fix if failed else "")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process and the compilers that it started."""
    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()


def failure_of(attempt: Callable[[], object]) -> str:
    """Return the first line of the error; empty if nothing goes wrong."""
    try:
        attempt()
    except Exception as error:  # a faulty installation may raise anything
        return f"{type(error).__name__}: {error}".splitlines()[0][:200]
    return ""
