"""The formats of exported files, by suffix: how a traced program is written, and the file run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from autocompress.registry import Registry, registered_in

__all__ = ["EXPORTERS", "Run", "is_text", "register_exporter", "sizes_of", "suffixes"]

#: Names of the file's input (floating-point numbers, or tokens) and output.
INPUTS, OUTPUT = {True: "images", False: "ids"}, "logits"

Run = Callable[[Any], Tensor]

#: Writes a traced program to a file, and returns a function that runs the file.
Exporter = Callable[[torch.export.ExportedProgram, Any, Path], Run]
E = TypeVar("E", bound=Exporter)

#: Exporters by the suffix of their files. Those of the library are found by their decorator, in
#: this file or another one of its folder.
EXPORTERS: Registry[Exporter] = Registry(
    "export format", registered_in(Path(__file__).parent, "autocompress.io", "register_exporter")
)


def register_exporter(suffix: str) -> Callable[[E], E]:
    """Return a decorator that registers the exporter of files with this suffix.

    The exporter gets the traced program, the example and the path. It writes the file, and returns
    a function that runs the written file: the file is kept only if that function returns what the
    network returns, at batch sizes that were not traced.

    Args:
        suffix: Suffix of the files, without its dot.

    Raises:
        ConfigError: The suffix is taken.

    Example:
        >>> import tempfile, autocompress as ac
        >>> @register_exporter("graph")
        ... def write_graph(program, example, path):
        ...     torch.export.save(program, buffer := BytesIO())
        ...     _ = path.write_bytes(buffer.getvalue())
        ...     return torch.export.load(BytesIO(path.read_bytes())).module()
        >>> net = ac.models.MLP(depth=2, width=8)
        >>> ac.export(net, f"{tempfile.mkdtemp()}/net.graph").batch_sizes
        (1, 5)
        >>> EXPORTERS.remove("graph") is write_graph
        True
    """
    return EXPORTERS.register(suffix)


def suffixes() -> list[str]:
    """Return the suffixes of all files that :func:`export` writes, with their dots."""
    return [f".{suffix}" for suffix in EXPORTERS]


def is_text(tensor: Tensor) -> bool:
    """Return whether the tensor holds one number per token: token ids, or a mask."""
    return tensor.dim() == 2 and not tensor.is_floating_point()


def sizes_of(example: Any, batch: Any, length: Any) -> Any:
    """Return which input sizes are dynamic, in the example's structure."""
    if isinstance(example, Mapping):
        return {name: sizes_of(tensor, batch, length) for name, tensor in example.items()}
    return {0: batch} | ({1: length} if length is not None and is_text(example) else {})


@register_exporter("onnx")
def export_onnx(program: torch.export.ExportedProgram, example: Any, path: Path) -> Run:
    """Write an ONNX file, which onnxruntime runs; arguments as for :func:`register_exporter`."""
    import onnxruntime

    single = isinstance(example, Tensor)
    names = [INPUTS[example.is_floating_point()]] if single else list(example)
    onnx_program = torch.onnx.export(
        program,
        (example,),
        dynamo=True,
        verbose=False,
        input_names=names,
        output_names=[OUTPUT],
        dynamic_shapes=(sizes_of(example, "batch", "length" if _is_open(program) else None),),
    )
    assert onnx_program is not None  # always so with dynamo=True
    onnx_program.save(path, external_data=False)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    taken = {entry.name for entry in session.get_inputs()}

    def run(x: Any) -> Tensor:
        given = {names[0]: x} if single else x
        fed = {name: tensor.numpy() for name, tensor in given.items() if name in taken}
        (out,) = session.run([OUTPUT], fed)
        return torch.from_numpy(out)

    return run


def _is_open(program: torch.export.ExportedProgram) -> bool:
    """Return whether a traced program has a dynamic length."""
    names = program.graph_signature.user_inputs
    nodes = [node for node in program.graph.nodes if node.name in names]
    shapes = [node.meta["val"].shape for node in nodes if isinstance(node.meta.get("val"), Tensor)]
    return any(isinstance(size, torch.SymInt) for shape in shapes for size in shape[1:])


@register_exporter("pt2")
def export_pt2(program: torch.export.ExportedProgram, example: Any, path: Path) -> Run:
    """Write PyTorch's exported program; arguments as for :func:`register_exporter`."""
    buffer = BytesIO()  # torch's own writer does not report a full disk
    torch.export.save(program, buffer)
    path.write_bytes(buffer.getbuffer())
    run: Run = torch.export.load(path).module()
    return run
