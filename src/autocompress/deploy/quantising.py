"""Write ONNX files with weights of 8 bits, by onnxruntime or by hand."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np

from autocompress.extras import import_extra

__all__ = ["quantise_dynamic", "quantise_weights"]

#: Operators whose matrices are quantised.
_READERS = frozenset(("MatMul", "Gemm", "Conv", "Gather", "Transpose"))


def quantise_dynamic(file: Path, target: Path) -> None:
    """Write ``file`` with weights of 8 bits; activations are quantised as they come.

    Args:
        file: An ONNX file.
        target: The file to write.

    Raises:
        MissingExtraError: The extra "onnx" is not installed.
    """
    quantization: Any = import_extra("onnxruntime.quantization", "onnx", "int8")
    level = logging.getLogger().level
    logging.getLogger().setLevel(logging.ERROR)  # it advises a step that changes nothing here
    try:
        quantization.quantize_dynamic(
            str(file), str(target), weight_type=quantization.QuantType.QInt8
        )
    finally:
        logging.getLogger().setLevel(level)


def quantise_weights(file: Path, target: Path) -> None:
    """Write ``file`` with matrices of 8 bits, which the runtime makes floats again.

    Each output channel of a matrix has its own scale. All computing stays in float32, so answers
    differ only by the rounding of the weights.

    Args:
        file: An ONNX file with float32 weights.
        target: The file to write.

    Raises:
        MissingExtraError: The extra "onnx" is not installed.
    """
    onnx: Any = import_extra("onnx", "onnx", "int8-weights")
    model = onnx.load(file)
    graph = model.graph
    readers: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    kept, added = [], []
    for tensor in graph.initializer:
        using = readers.get(tensor.name, [])
        wanted = tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.dims) >= 2
        if not (wanted and using and {node.op_type for node in using} <= _READERS):
            kept.append(tensor)
            continue
        last = all(node.op_type == "MatMul" and node.input[1] == tensor.name for node in using)
        axis = len(tensor.dims) - 1 if last else 0
        values, scales = _rounded(onnx.numpy_helper.to_array(tensor), axis)
        names = [f"{tensor.name}.int8", f"{tensor.name}.scale"]
        for name, array in zip(names, (values, scales), strict=True):
            kept.append(onnx.numpy_helper.from_array(array, name))
        added.append(onnx.helper.make_node("DequantizeLinear", names, [tensor.name], axis=axis))
    nodes = [*added, *graph.node]
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(kept)
    graph.node.extend(nodes)
    onnx.checker.check_model(model)
    target.write_bytes(model.SerializeToString())


def _rounded(values: Any, axis: int) -> tuple[Any, Any]:
    """Return whole numbers from -127 to 127 and the scale of each slice along ``axis``."""
    others = tuple(k for k in range(values.ndim) if k != axis)
    scales = np.abs(values).max(axis=others, keepdims=True) / np.float32(127)
    scales = np.where(scales == 0, np.float32(1), scales).astype(np.float32)
    return np.round(values / scales).astype(np.int8), scales.reshape(-1)
