"""Print the table of supported layers in docs/convert.md, from the registry.

python benchmarks/supported_table.py
"""

from __future__ import annotations

from autocompress.conversion import layers, plan

assert plan  # importing it registers every family


def table() -> str:
    """Return the table, with a row for each layer class."""
    lines = ["| library | networks | layer class | skips |", "|---|---|---|---|"]
    for name, kind in sorted(layers.layer_kinds().items(), key=lambda pair: _library(pair[0])):
        layer = name.rpartition(":")[2]
        lines.append(f"| {_library(name)} | {kind.models} | `{layer}` | {len(kind.branches)} |")
    return "\n".join(lines)


def _library(name: str) -> str:
    """Return the library of a layer class; the Sequential is that of timm's ConvMixer."""
    return "timm" if name.endswith(":Sequential") else name.split(".")[0]


if __name__ == "__main__":
    print(table())
