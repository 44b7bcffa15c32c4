"""Export a network as one file for other programs: ONNX, or PyTorch's exported program.

Every file is verified: it is read back, run, and compared with the network at other batch sizes
and, for texts, at other lengths.
"""

from __future__ import annotations

import copy
import importlib.util
import json
import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from autocompress.checks import check_example, rows_of
from autocompress.errors import ConfigError, ExportError, MissingExtraError
from autocompress.io.atomic import atomic_file, check_no_file
from autocompress.io.exporters import EXPORTERS, Run, is_text, sizes_of, suffixes

__all__ = ["TOLERANCE", "ExportCheck", "export_file", "precision_hint", "rounding_hint"]

#: Largest accepted absolute difference of an output from PyTorch's.
TOLERANCE = 1e-4

#: Traced at one batch size and compared at two others, to detect a size frozen in the graph.
_TRACED, _CHECKED = 2, (1, 5)

#: Largest ONNX file: ONNX uses protocol buffers, which have this limit.
_LARGEST_ONNX = 2**31 - 2**20

#: Types for which onnxruntime has no kernels on a CPU.
_NOT_IN_ONNX = (torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2)


@dataclass(frozen=True)
class ExportCheck:
    """The result of comparing an exported file with its network.

    Attributes:
        path: The file.
        max_abs_difference: Largest absolute difference of any output.
        batch_sizes: Batch sizes compared; none is the one traced.
        lengths: Text lengths compared besides the example's; empty if the file takes only texts of
            the example's length, or no texts.
    """

    path: Path
    max_abs_difference: float
    batch_sizes: tuple[int, ...]
    lengths: tuple[int, ...] = ()


def export_file(
    net: nn.Module,
    path: str | os.PathLike[str],
    example: Any,
    tolerance: float = TOLERANCE,
    *,
    overwrite: bool = False,
    metadata: Mapping[str, Any] | None = None,
) -> ExportCheck:
    """Write ``net`` (in eval mode, from the CPU) to ``path``; the file accepts any batch size.

    The file has one input, "images" (for tokens "ids"), or the inputs that a mapping names, and one
    output, "logits". It accepts texts of any length that the network takes, if the network can be
    traced that way; otherwise it accepts only the example's length and refuses others. The file
    appears only if its outputs for random inputs, at batch sizes 1 and 5 and at other lengths,
    equal those of the network.

    Args:
        net: The network, which is left unchanged.
        path: Path ending in ``.onnx`` (checked in onnxruntime), ``.pt2`` (``torch.export.load``) or
            another registered suffix (:func:`autocompress.io.register_exporter`).
        example: A batch (B, ...) of inputs, B >= 1: a tensor, or a mapping of the network's
            arguments (``{"input_ids": .., "attention_mask": ..}``); its shape and dtype matter.
        tolerance: Largest accepted absolute difference of an output.
        overwrite: Whether to replace an existing file.
        metadata: Values that become JSON in an ONNX file's ``metadata_props``.

    Raises:
        ConfigError: The path has another suffix.
        MissingExtraError: The extra "onnx" is not installed.
        ShapeError: The network cannot take the example.
        OutputError: The file exists, or cannot be written.
        ExportError: The network cannot be traced or is too large for ONNX, or the file computes
            something else.
        DataError, NotFiniteError: The example, weights or activations are not finite.

    Example:
        >>> import tempfile, autocompress as ac
        >>> net = ac.models.MLP(depth=2, width=8, classes=3, image_size=2, channels=1)
        >>> path = Path(tempfile.mkdtemp()) / "net.pt2"
        >>> export_file(net, path, torch.zeros(1, 1, 2, 2)).batch_sizes
        (1, 5)
    """
    path = Path(path)
    if path.suffix not in suffixes():
        raise ConfigError(f"{path.name!r}: the name of an export ends in {' or '.join(suffixes())}")
    check_no_file(path, overwrite)
    if not isinstance(net, nn.Module):
        raise ConfigError(f"export takes a network, not a {type(net).__name__}")
    if path.suffix == ".onnx":
        check_onnx(net)
    net = copy.deepcopy(net).cpu().eval()
    example = check_example(net, on_cpu(example), "exported")
    example = rows_of(example, [0] * _TRACED)
    with torch.no_grad(), quiet(), atomic_file(path) as temporary:
        lengths = _lengths(net, example)
        run, lengths = _written(net, example, temporary, lengths)
        _tell(temporary, path.suffix, metadata or {})
        inputs = [random_inputs(example, size) for size in _CHECKED]
        inputs += [random_inputs(example, _CHECKED[-1], length) for length in lengths]
        difference = max(_difference(net, run, x) for x in inputs)
        _check_close(net, difference, tolerance, path.name)
    return ExportCheck(path, difference, _CHECKED, lengths)


def _tell(path: Path, suffix: str, metadata: Mapping[str, Any]) -> None:
    """Add the metadata to an ONNX file."""
    if suffix != ".onnx" or not metadata:
        return
    import onnx

    model = onnx.load(path)
    for key, value in metadata.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, json.dumps(value)
    path.write_bytes(model.SerializeToString())


def on_cpu(example: Any) -> Any:
    if isinstance(example, Mapping):
        return {name: on_cpu(value) for name, value in example.items() if value is not None}
    return example.detach().cpu() if isinstance(example, Tensor) else example


def _length(example: Any) -> int:
    """Return the number of tokens of a text; 0 if the example is not a text."""
    if isinstance(example, Mapping):
        found = {_length(tensor) for tensor in example.values()} - {0}
        return found.pop() if len(found) == 1 else 0
    return example.shape[1] if is_text(example) else 0


def _lengths(net: nn.Module, example: Any) -> tuple[int, ...]:
    """Return other text lengths that the network takes: a shorter and a longer one."""
    length = _length(example)
    found = []
    for other in {max(1, length // 2), length + 3} - {length} if length else ():
        try:
            net(random_inputs(example, _TRACED, other))
        except Exception:
            continue
        found.append(other)
    return tuple(sorted(found))


def _written(
    net: nn.Module, example: Any, path: Path, lengths: tuple[int, ...]
) -> tuple[Run, tuple[int, ...]]:
    """Write the file, with open text length if possible; return how to run it, and the lengths."""
    if lengths:
        try:
            run = _write(net, example, path, dynamic=True)
            for length in lengths:
                run(random_inputs(example, _TRACED, length))
            return run, lengths
        except Exception:  # the trace fixes the length: the file takes only the example's
            path.unlink(missing_ok=True)
    return _write(net, example, path, dynamic=False), ()


def _write(net: nn.Module, example: Any, path: Path, dynamic: bool) -> Run:
    batch, length = torch.export.Dim("batch", min=1), torch.export.Dim.AUTO
    shapes = sizes_of(example, batch, length if dynamic else None)
    try:
        program = torch.export.export(net, (example,), dynamic_shapes=(shapes,))
        return EXPORTERS[path.suffix[1:]](program, example, path)
    except OSError:
        raise
    except Exception as error:  # the exporters pass on whatever the network's code raises
        reason = str(error).strip().partition("\n")[0]
        raise ExportError(
            f"{type(net).__name__} cannot be exported to {path.suffix}: {reason}"
            f"{precision_hint(net)}"
        ) from error


def _difference(net: nn.Module, run: Run, x: Any) -> float:
    """Return the largest absolute difference of an output; infinity if the shapes differ."""
    expected, got = net(x), run(x)
    if expected.shape != got.shape:
        return float("inf")
    return float((expected.double() - got.double()).abs().max())


def _check_close(net: nn.Module, difference: float, tolerance: float, name: str) -> None:
    if not difference <= tolerance:  # written so that NaN fails too
        raise ExportError(
            f"{name} computes something else than the network: outputs differ by "
            f"{difference:.3g}, tolerance is {tolerance:.3g}; the file was not kept"
            f"{rounding_hint(net)}"
        )


def precision_hint(net: nn.Module) -> str:
    """Return what helps when the export of a network fails that is not in float32, else ``""``."""
    types = {p.dtype for p in net.parameters() if p.is_floating_point()} - {torch.float32}
    named = " and ".join(sorted(str(one).removeprefix("torch.") for one in types))
    return f"; this network is in {named}: export net.float()" if types else ""


def rounding_hint(net: nn.Module) -> str:
    """Return :func:`precision_hint` for outputs that differ, which may be accepted."""
    hint = precision_hint(net)
    return hint and f"{hint}, or accept a tolerance of 0.01"


def random_inputs(example: Any, size: int, length: int | None = None) -> Any:
    """Return a random batch of ``size`` in the form of ``example``.

    Floats are normal; integers (token ids) are the example's own, shuffled; masks hide the ends of
    all texts but the first.

    Args:
        example: A tensor or a mapping of tensors.
        size: Batch size B.
        length: Number of tokens of each text; None keeps the example's.
    """
    if isinstance(example, Mapping):
        return {
            name: _mask(tensor, size, length)
            if _is_mask(name, tensor)
            else _random(tensor, size, length)
            for name, tensor in example.items()
        }
    return _random(example, size, length)


def hide_ends(example: Any) -> Any:
    """Return a batch whose masks hide the ends of all texts but the first.

    Some hosts leave out a mask that hides nothing, so a graph that is traced with such a mask would
    ignore every other one.

    Args:
        example: A tensor, which is returned as it is, or a mapping of tensors.
    """
    if not isinstance(example, Mapping):
        return example
    return {
        name: _mask(tensor, len(tensor), None) if _is_mask(name, tensor) else tensor
        for name, tensor in example.items()
    }


def _is_mask(name: str, tensor: Tensor) -> bool:
    return "mask" in name and is_text(tensor)


def _mask(example: Tensor, size: int, length: int | None) -> Tensor:
    length = example.shape[1] if length is None else length
    ends = torch.tensor([max(1, length - row * length // size) for row in range(size)])
    return (torch.arange(length) < ends[:, None]).to(example.dtype)


def _random(example: Tensor, size: int, length: int | None) -> Tensor:
    generator = torch.Generator().manual_seed(size)
    if example.is_floating_point():
        shape = (size, *example.shape[1:])
        return torch.randn(shape, generator=generator, dtype=example.dtype)
    open_ = length is not None and is_text(example)
    shape = (size, length or 0) if open_ else (size, *example.shape[1:])
    return example.flatten()[torch.randint(example.numel(), shape, generator=generator)]


def check_onnx(net: nn.Module) -> None:
    for package in ("onnx", "onnxscript", "onnxruntime"):
        if importlib.util.find_spec(package) is None:
            raise MissingExtraError(package, "onnx", "exporting to ONNX")
    found = {
        str(p.dtype).removeprefix("torch.") for p in net.parameters() if p.dtype in _NOT_IN_ONNX
    }
    if found:
        raise ExportError(
            f"onnxruntime has no {found.pop()} on a CPU: export net.float() (copy.deepcopy(net) "
            "first, to keep this one), or to .pt2"
        )
    size = sum(tensor.nbytes for tensor in net.state_dict().values())
    if size > _LARGEST_ONNX:
        raise ExportError(
            f"{size / 1e9:.1f} GB of weights do not fit in one ONNX file (2 GB): export to .pt2"
        )


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the exporters' own warnings.

    They tell of deprecations, of missing torchvision, and of constants that the optimiser of
    onnxscript tried to compute and left in the graph ("Evaluation failed: cannot reshape").
    """
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            ours = r"(torch|onnx|onnxscript|onnx_ir|onnxruntime|copyreg)(\.|$)"
            warnings.filterwarnings("ignore", module=ours)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
