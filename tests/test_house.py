"""The picture in docs/architecture.md, held against the code."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "autocompress"
HOUSE = re.findall(r"^\| `(\w+)/?` \|", (ROOT / "docs" / "architecture.md").read_text(), re.M)


def part_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports_of(path: Path) -> set[str]:
    """Parts of the library that a file imports, wherever in it the import stands."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = node.module.split(".")
            if names[0] == "autocompress":
                found |= {names[1]} if len(names) > 1 else {alias.name for alias in node.names}
        if isinstance(node, ast.Import):
            for alias in node.names:
                found |= {p for p in alias.name.split(".")[1:2] if alias.name.startswith("autocom")}
    return found & set(HOUSE)


def test_the_picture_names_every_part() -> None:
    parts = {part_of(path) for path in SOURCE.rglob("*.py")} - {"__init__", "__main__", "version"}
    assert parts == set(HOUSE)


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda p: p.stem)
def test_each_part_imports_only_what_stands_above_it(path: Path) -> None:
    part = part_of(path)
    if part in ("__init__", "__main__", "version"):
        return
    allowed = set(HOUSE[: HOUSE.index(part) + 1])
    lazily = {"io"} if part == "network" else set()  # save_pretrained, inside the method
    assert imports_of(path) <= allowed | lazily


def loaded_by(code: str) -> set[str]:
    """Top-level packages in a fresh process after ``code``."""
    code += "; import sys; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return set(done.stdout.split())


OPTIONAL = {"onnx", "onnxruntime", "onnxscript", "pytorch_optimizer", "timm", "transformers", "ray"}
SLOW = {"kornia", "datasets", "sklearn", "matplotlib"}


def test_import_pulls_in_nothing_optional() -> None:
    loaded = loaded_by("import autocompress as ac; ac.fit, ac.load, ac.convert, ac.export")
    assert "torch" in loaded
    assert not loaded & (OPTIONAL | SLOW)


def test_the_test_above_can_fail() -> None:
    assert "onnxruntime" in loaded_by("import autocompress, onnxruntime")


def test_one_loop_over_depth() -> None:
    """``connectivity.step`` is called in one place."""
    calls = [
        path
        for path in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "step"
        and ast.unparse(node.func.value).endswith("connectivity")
    ]
    assert [path.name for path in calls] == ["trunk.py"]
