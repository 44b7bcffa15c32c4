"""Trace a module of named arrays, with its batch size and text length left open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.export.graph_signature import InputKind

from autocompress.deploy.segments import Entrance, Named
from autocompress.errors import ExportError
from autocompress.io.exporters import is_text
from autocompress.io.exporting import hide_ends, random_inputs
from autocompress.network import Network

__all__ = ["Traced", "passes_of", "roles_of", "trace"]

#: What each dimension of an array is: "batch", "length", or its fixed size.
Dims = tuple[int | str, ...]

_WEIGHTS = (InputKind.PARAMETER, InputKind.BUFFER, InputKind.CONSTANT_TENSOR)


@dataclass(frozen=True)
class Traced:
    """A traced module.

    Attributes:
        program: The program, which holds only the weights that it uses.
        example: The arrays with which it was traced.
        inputs, outputs: Meaning of the dimensions of each array, by name.
    """

    program: torch.export.ExportedProgram
    example: Named
    inputs: dict[str, Dims]
    outputs: dict[str, Dims]


def roles_of(name: str, several: Sequence[torch.Size], sizes: Sequence[tuple[int, int]]) -> Dims:
    """Return what each dimension of an array is, from its shapes in several passes.

    Args:
        name: Name of the array.
        several: Its shape in each pass.
        sizes: Batch size and text length of each pass; a length of 0 stands for no text.

    Raises:
        ExportError: A dimension changes with neither of them alone.

    Example:
        >>> roles_of("x", [torch.Size([2, 5]), torch.Size([3, 5])], [(2, 0), (3, 0)])
        ('batch', 5)
    """
    roles: list[int | str] = []
    for place in range(len(several[0])):
        seen = [shape[place] for shape in several]
        if len(set(seen)) == 1:
            roles.append(seen[0])
        elif seen == [batch for batch, _ in sizes]:
            roles.append("batch")
        elif seen == [length for _, length in sizes]:
            roles.append("length")
        else:
            raise ExportError(
                f"dimension {place} of {name}, which passes from segment to segment, is neither "
                f"the batch nor the length of the texts: {seen} where they are {list(sizes)}; "
                "export each depth as one graph (NAME.onnx) instead"
            )
    return tuple(roles)


def trace(
    module: nn.Module, passes: Sequence[Named], sizes: Sequence[tuple[int, int]], name: str
) -> tuple[Traced, list[Named]]:
    """Trace ``module`` and return the program, and what it returns in each pass.

    Args:
        module: A module that takes and returns arrays by name.
        passes: Inputs in batches of different sizes; the first is the example.
        sizes: Batch size and text length of each pass.
        name: Name of the module in error messages.

    Raises:
        ExportError: The module cannot be traced.
    """
    results = [module(given) for given in passes]
    inputs = {key: roles_of(key, [p[key].shape for p in passes], sizes) for key in passes[0]}
    outputs = {key: roles_of(key, [r[key].shape for r in results], sizes) for key in results[0]}
    try:
        program = torch.export.export(
            module, (passes[0],), dynamic_shapes=(shapes(inputs, torch.export.Dim("batch", min=1)),)
        )
    except Exception as error:  # the exporter passes on whatever the network's code raises
        reason = str(error).strip().partition("\n")[0]
        raise ExportError(f"{name} cannot be traced: {reason}") from error
    return Traced(_pruned(program), passes[0], inputs, outputs), results


def shapes(
    dims: Mapping[str, Dims], batch: Any, length: Any = torch.export.Dim.AUTO
) -> dict[str, dict[int, Any]]:
    """Return the open dimensions of each array as the exporters take them."""
    known = {"batch": batch, "length": length}
    return {
        name: {place: known[role] for place, role in enumerate(roles) if isinstance(role, str)}
        for name, roles in dims.items()
    }


def _pruned(program: torch.export.ExportedProgram) -> torch.export.ExportedProgram:
    """Remove operations without a use and the weights of other segments, in place."""
    graph, specs = program.graph, program.graph_signature.input_specs
    for node in list(graph.nodes):
        if not node.users and str(node.target).startswith("aten._assert_"):
            graph.erase_node(node)  # it would keep what it looks at
    graph.eliminate_dead_code()
    nodes = {node.name: node for node in graph.nodes if node.op == "placeholder"}
    kept = []
    for spec in specs:
        node = nodes[spec.arg.name]
        if spec.kind not in _WEIGHTS or node.users:
            kept.append(spec)
            continue
        graph.erase_node(node)
    specs[:] = kept
    used = {spec.target for spec in kept}
    for store in (program.state_dict, program.constants):
        for target in [key for key in store if key not in used]:
            del store[target]
    program.graph_module.recompile()
    return program


def passes_of(net: Network, entrance: Entrance) -> tuple[list[Named], list[tuple[int, int]]]:
    """Return batches to trace and check with, and the batch size and text length of each.

    The first has the example's own inputs, with masks that hide something. Lengths that the network
    does not take are left out.

    Args:
        net: The network.
        entrance: The user's arrays.
    """
    example = entrance.example
    texts = [tensor for tensor in example.values() if is_text(tensor)]
    length = texts[0].shape[1] if texts else 0
    batches = [hide_ends(example), random_inputs(example, 3, length or None)]
    sizes = [(2, length), (3, length)]
    for other in (max(1, length // 2), length + 3) if length > 1 else ():
        batch = random_inputs(example, 2, other)
        try:
            net(entrance.make(batch))
        except Exception:  # the network's own code, e.g. past its positions
            continue
        batches.append(batch)
        sizes.append((2, other))
    return batches, sizes
