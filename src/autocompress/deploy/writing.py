"""Write a traced module as ONNX or as PyTorch's exported program."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import torch

from autocompress.deploy.segments import PROBABILITIES
from autocompress.deploy.tracing import Traced, shapes
from autocompress.errors import ExportError, OutputError

__all__ = ["LABEL", "WRITERS", "check_replaced", "read_metadata", "write_onnx", "write_pt2"]

#: Output with the name of the likeliest class.
LABEL = "label"

#: Name of the metadata in a .pt2 file.
_EXTRA = "metadata.json"


def write_onnx(
    traced: Traced, path: Path, metadata: Mapping[str, Any], names: Sequence[str] | None
) -> None:
    """Write an ONNX file.

    Args:
        traced: The module.
        path: Path of the file.
        metadata: Values that become JSON in the file's ``metadata_props``.
        names: Class names; if the module returns probabilities, the file also returns the name of
            the likeliest class, as text.

    Raises:
        ExportError: An operator has no form in ONNX.
    """
    import onnx

    try:
        written = torch.onnx.export(
            traced.program,
            (traced.example,),
            dynamo=True,
            verbose=False,
            input_names=list(traced.inputs),
            output_names=list(traced.outputs),
            dynamic_shapes=(shapes(traced.inputs, "batch", "length"),),
        )
        assert written is not None  # always so with dynamo=True
        model = written.model_proto
    except Exception as error:  # the exporter passes on whatever it meets
        reason = str(error).strip().partition("\n")[0]
        raise ExportError(f"{path.name} cannot be written as ONNX: {reason}") from error
    for node in model.graph.node:  # the exporter's stack traces, larger than a small network
        del node.metadata_props[:]
    del model.graph.value_info[:]
    if names is not None and PROBABILITIES in traced.outputs:
        _add_label(model, names)
    for key, value in metadata.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, json.dumps(value)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())


def _add_label(model: Any, names: Sequence[str]) -> None:
    """Add an output with the name of the likeliest class."""
    from onnx import TensorProto, helper

    values: Any = [name.encode("utf-8") for name in names]
    known = helper.make_tensor("class_names", TensorProto.STRING, [len(names)], values)
    model.graph.initializer.append(known)
    model.graph.node.extend(
        [
            helper.make_node("ArgMax", [PROBABILITIES], ["likeliest"], axis=1, keepdims=0),
            helper.make_node("Gather", ["class_names", "likeliest"], [LABEL], axis=0),
        ]
    )
    model.graph.output.append(helper.make_tensor_value_info(LABEL, TensorProto.STRING, ["batch"]))


def write_pt2(
    traced: Traced, path: Path, metadata: Mapping[str, Any], names: Sequence[str] | None
) -> None:
    """Write an exported program with its metadata; arguments as for :func:`write_onnx`."""
    buffer = BytesIO()  # torch's own writer does not report a full disk
    torch.export.save(traced.program, buffer, extra_files={_EXTRA: json.dumps(dict(metadata))})
    path.write_bytes(buffer.getbuffer())


#: Writers by format.
WRITERS = {"onnx": write_onnx, "pt2": write_pt2}


#: Names in an exported folder; Python adds the last one when a program imports cascade.py.
_OURS = re.compile(
    r"export\.json|cascade\.py|tokenizer\.json|(segment|head)(-\d+)?\.(onnx|pt2)|__pycache__"
)


def check_replaced(folder: Path) -> None:
    """Raise OutputError if overwriting a folder would delete files that no export wrote.

    Args:
        folder: A folder to be replaced, if there is one.
    """
    found = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    foreign = [name for name in found if not _OURS.fullmatch(name)]
    if foreign:
        raise OutputError(
            f"{folder} holds {foreign[0]}, which is not part of an export; overwriting would "
            "delete it, so choose another folder"
        )


def read_metadata(path: Path) -> dict[str, Any]:
    """Return the metadata of a file that :data:`WRITERS` wrote."""
    if path.suffix == ".pt2":
        extra = {_EXTRA: ""}
        torch.export.load(path, extra_files=extra)
        return dict(json.loads(extra[_EXTRA] or "{}"))
    import onnx

    found = onnx.load(path, load_external_data=False).metadata_props
    return {entry.key: json.loads(entry.value) for entry in found}
