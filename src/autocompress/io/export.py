"""A network as one file for other programs: ONNX, or PyTorch's own exported program.

Nothing is trusted: what was written is read back, run, and compared with the network.
"""

from __future__ import annotations

import copy
import importlib.util
import logging
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import torch
from torch import Tensor, nn

from autocompress.errors import ConfigError, ExportError, MissingExtraError, OutputError
from autocompress.io.atomic import atomic_file

__all__ = ["ExportCheck", "export"]

#: Names of the file's input (of floating-point numbers, or tokens) and output.
INPUTS, OUTPUT = {True: "images", False: "ids"}, "logits"

#: Traced at one batch size, compared at two others: a size that was frozen in shows up.
_TRACED, _CHECKED = 2, (1, 5)

#: ONNX files are protocol buffers, which end here.
_LARGEST_ONNX = 2**31 - 2**20

_Run = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class ExportCheck:
    """What the comparison of an exported file with its network found.

    Attributes:
        path: the file.
        max_abs_difference: largest difference of any output.
        batch_sizes: the batch sizes compared; none is the one traced.
    """

    path: Path
    max_abs_difference: float
    batch_sizes: tuple[int, ...]


def export(
    net: nn.Module,
    path: str | os.PathLike[str],
    example: Tensor,
    tolerance: float = 1e-4,
    *,
    overwrite: bool = False,
) -> ExportCheck:
    """Write ``net`` (in eval mode, from the CPU) to ``path``; any batch size can be fed to it.

    The file has one input, "images" (of tokens "ids"), and one output, "logits". It appears only
    when what it computes from random inputs, at batch sizes 1 and 5, is what the network computes.

    Args:
        net: the network; it is left as it was.
        path: ends in ``.onnx`` (checked in onnxruntime) or ``.pt2`` (``torch.export.load``).
        example: a batch (B, ...) of inputs, B >= 1; shape and dtype count, values do not.
        tolerance: largest absolute difference of an output that passes.
        overwrite: replace a file of that name.

    Raises:
        ConfigError: another suffix. MissingExtraError: the extra "onnx" is not installed.
        ShapeError: an example that the network cannot take. OutputError: the file exists, or
        cannot be written. ExportError: the network cannot be traced, is too large for ONNX, or
        the file computes something else.

    Example:
        >>> import tempfile, autocompress as ac
        >>> net = ac.models.MLP(depth=2, width=8, classes=3, image_size=2, channels=1)
        >>> path = Path(tempfile.mkdtemp()) / "net.pt2"
        >>> export(net, path, torch.zeros(1, 1, 2, 2)).batch_sizes
        (1, 5)
    """
    path = Path(path)
    if path.suffix not in _WRITERS:
        raise ConfigError(f"{path.name!r}: the name of an export ends in {' or '.join(_WRITERS)}")
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists; choose another name or pass overwrite=True")
    if path.suffix == ".onnx":
        _check_onnx(net)
    net = copy.deepcopy(net).cpu().eval()
    example = torch.cat([example.detach().cpu()[:1]] * _TRACED)
    with torch.no_grad():
        net(example)  # an example that does not fit is the caller's error, not the exporter's
        with _quiet(), atomic_file(path) as temporary:
            run = _write(net, example, temporary)
            difference = max(_difference(net, run, _random(example, n)) for n in _CHECKED)
            _check_close(difference, tolerance, path.name)
    return ExportCheck(path, difference, _CHECKED)


def _write(net: nn.Module, example: Tensor, path: Path) -> _Run:
    batch = torch.export.Dim("batch", min=1)
    try:
        program = torch.export.export(net, (example,), dynamic_shapes=({0: batch},))
        return _WRITERS[path.suffix](program, example, path)
    except OSError:
        raise
    except Exception as error:  # the exporters raise whatever the network made them stumble over
        reason = str(error).strip().partition("\n")[0]
        raise ExportError(
            f"{type(net).__name__} cannot be exported to {path.suffix}: {reason}"
        ) from error


def _write_onnx(program: torch.export.ExportedProgram, example: Tensor, path: Path) -> _Run:
    import onnxruntime

    name = INPUTS[example.is_floating_point()]
    onnx_program = torch.onnx.export(
        program,
        (example,),
        dynamo=True,
        verbose=False,
        input_names=[name],
        output_names=[OUTPUT],
        dynamic_shapes=({0: "batch"},),
    )
    assert onnx_program is not None  # what dynamo=True returns
    onnx_program.save(path, external_data=False)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def run(x: Tensor) -> Tensor:
        (out,) = session.run([OUTPUT], {name: x.numpy()})
        return torch.from_numpy(out)

    return run


def _write_pt2(program: torch.export.ExportedProgram, example: Tensor, path: Path) -> _Run:
    buffer = BytesIO()  # torch's own writer does not say when the disk is full
    torch.export.save(program, buffer)
    path.write_bytes(buffer.getbuffer())
    run: _Run = torch.export.load(path).module()
    return run


_WRITERS: dict[str, Callable[[torch.export.ExportedProgram, Tensor, Path], _Run]] = {
    ".onnx": _write_onnx,
    ".pt2": _write_pt2,
}


def _difference(net: nn.Module, run: _Run, x: Tensor) -> float:
    """Largest absolute difference of an output; infinite where the shapes differ."""
    expected, got = net(x), run(x)
    if expected.shape != got.shape:
        return float("inf")
    return float((expected.double() - got.double()).abs().max())


def _check_close(difference: float, tolerance: float, name: str) -> None:
    if not difference <= tolerance:  # nor is it, where it is not a number
        raise ExportError(
            f"{name} computes something else than the network: outputs differ by "
            f"{difference:.3g}, tolerance is {tolerance:.3g}; the file was not kept"
        )


def _random(example: Tensor, size: int) -> Tensor:
    """A batch of ``size``: normal numbers, or for integers (token ids) the example's own, mixed."""
    generator = torch.Generator().manual_seed(size)
    shape = (size, *example.shape[1:])
    if example.is_floating_point():
        return torch.randn(shape, generator=generator, dtype=example.dtype)
    return example.flatten()[torch.randint(example.numel(), shape, generator=generator)]


def _check_onnx(net: nn.Module) -> None:
    for package in ("onnx", "onnxscript", "onnxruntime"):
        if importlib.util.find_spec(package) is None:
            raise MissingExtraError(package, "onnx", "exporting to ONNX")
    size = sum(tensor.nbytes for tensor in net.state_dict().values())
    if size > _LARGEST_ONNX:
        raise ExportError(
            f"{size / 1e9:.1f} GB of weights do not fit in one ONNX file (2 GB): export to .pt2"
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporters' own notes to themselves (their deprecations, torchvision's absence)."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            ours = r"(torch|onnx|onnxscript|onnx_ir|onnxruntime|copyreg)(\.|$)"
            warnings.filterwarnings("ignore", module=ours)
            yield
    finally:
        logger.setLevel(level)
