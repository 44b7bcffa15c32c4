"""The picture in docs/architecture.md, held against the code."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "autocompress"
HOUSE = re.findall(r"^\| `(\w+)/?` \|", (ROOT / "docs" / "architecture.md").read_text(), re.M)


@cache
def nodes_of(path: Path) -> list[ast.AST]:
    return list(ast.walk(ast.parse(path.read_text())))


def part_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports_of(path: Path) -> set[str]:
    """Parts of the library that a file imports, wherever in it the import stands."""
    found = set()
    for node in nodes_of(path):
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


def test_the_files_it_names_exist() -> None:
    """Names in capitals stand for a file of the reader's own."""
    text = (ROOT / "docs" / "architecture.md").read_text()
    named = set(re.findall(r"`([\w/]+\.(?:py|txt|md))`", text))
    there = {str(path.relative_to(ROOT)) for path in ROOT.glob("*/**/*") if path.is_file()}
    assert len(named) > 20
    for name in named:
        if "NAME" not in name:
            assert any(path.endswith(f"/{name}") or path == name for path in there), name


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda p: p.stem)
def test_each_part_imports_only_what_stands_above_it(path: Path) -> None:
    part = part_of(path)
    if part in ("__init__", "__main__", "version"):
        return
    allowed = set(HOUSE[: HOUSE.index(part) + 1])
    assert imports_of(path) <= allowed


def loaded_by(*steps: str) -> list[set[str]]:
    """Top-level packages in a fresh process after each step of a program."""
    say = "print(*{name.split('.')[0] for name in sys.modules})"
    code = "\n".join(["import sys", *(f"{step}\n{say}" for step in steps)])
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return [set(line.split()) for line in done.stdout.splitlines()[-len(steps) :]]


OPTIONAL = {"onnx", "onnxruntime", "onnxscript", "pytorch_optimizer", "timm", "transformers", "ray"}
SLOW = {"kornia", "datasets", "sklearn", "matplotlib"}


def test_import_pulls_in_nothing_optional() -> None:
    pytest.importorskip("onnxruntime")
    use = "import autocompress as ac; ac.fit, ac.load, ac.convert, ac.export"
    ours, more = loaded_by(use, "import onnxruntime")
    assert "torch" in ours
    assert not ours & (OPTIONAL | SLOW)
    assert "onnxruntime" in more, "what is optional must be seen when it is there"


def test_one_loop_over_depth() -> None:
    """``connectivity.step`` is called in one place."""
    calls = [
        path
        for path in SOURCE.rglob("*.py")
        for node in nodes_of(path)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "step"
        and ast.unparse(node.func.value).endswith(("connectivity", "rule"))
    ]
    assert [path.name for path in calls] == ["trunk.py"]


def files_imported_by(path: Path, modules: dict[str, Path]) -> set[str]:
    """Full names of our files that a file imports, wherever in it the import stands."""
    found = set()
    for node in nodes_of(path):
        if isinstance(node, ast.ImportFrom) and node.module in modules:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= inner & set(modules) or {str(node.module)}
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names} & set(modules)
    return found


def circles(graph: dict[str, set[str]]) -> list[str]:
    """Names that reach themselves: what is left when all that imports nothing left is taken."""
    left = {name: set(needs) - {name} for name, needs in graph.items()}
    while ready := [name for name, needs in left.items() if not needs & set(left)]:
        for name in ready:
            del left[name]
    return sorted(left)


def test_no_file_imports_itself_by_a_detour() -> None:
    modules = {
        ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts).removesuffix(
            ".__init__"
        ): path
        for path in SOURCE.rglob("*.py")
    }
    graph = {name: files_imported_by(path, modules) for name, path in modules.items()}
    assert circles(graph) == []
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": set()}) == ["a", "b", "c"]


def test_no_rule_is_asked_for_outside_its_room() -> None:
    """Nobody asks which connectivity runs: no ``isinstance(.., Plane)``, no comparison of names."""
    for path in SOURCE.rglob("*.py"):
        if "connectivity" not in path.parts:
            assert not re.search(
                r"isinstance\([^)]*\b(Plane|Dense\w*|Hyper\w*)\b", path.read_text()
            )


#: Names that have one meaning in every module of their kind: verbs' options, studies' parts.
CONVENTIONAL = {"Options", "Settings", "Key"}


def test_no_two_public_classes_have_one_name() -> None:
    homes: dict[str, set[str]] = {}
    for path in SOURCE.parent.rglob("*.py"):
        for node in nodes_of(path):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes.setdefault(node.name, set()).add(path.stem)
    assert {name: where for name, where in homes.items() if len(where) > 1}.keys() == CONVENTIONAL


#: Functions with one name in several modules: verbs' entries, and the two ends of one step.
PAIRED = {"run", "main", "load", "become_acn", "become_plain"}


def test_no_two_public_functions_have_one_name() -> None:
    """Within the library; studies have words of their own for what they do with its parts."""
    homes: dict[str, set[str]] = {}
    for path in SOURCE.rglob("*.py"):
        for node in nodes_of(path):
            if isinstance(node, ast.FunctionDef) and node.col_offset == 0:
                homes.setdefault(node.name, set()).add(path.stem)
    public = {name: where for name, where in homes.items() if not name.startswith("_")}
    assert {name for name, where in public.items() if len(where) > 1} == PAIRED


def test_no_function_is_long() -> None:
    """About 50 lines at most, docstrings aside."""
    for path in SOURCE.parent.rglob("*.py"):
        for node in nodes_of(path):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                first = node.body[ast.get_docstring(node) is not None :] or node.body
                lines = (node.end_lineno or 0) - first[0].lineno + 1
                assert lines <= 52, f"{path.name}: {node.name} has {lines} lines"
        assert len(path.read_text().splitlines()) <= 400, path


def test_docstrings_and_arguments_begin_with_words_of_their_own() -> None:
    """A text that begins with "What" or "Of" needs the name above it to be understood.

    Questions end with a mark; they are the titles of studies.
    """
    bare = re.compile(r"(?m)(?:\A|^\s+[\w, ]+: )(?:What|Which|Where|When|Who|How|Of|That) [^?\n]*$")
    for path in SOURCE.parent.rglob("*.py"):
        for node in nodes_of(path):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                found = bare.search(ast.get_docstring(node) or "")
                assert found is None, f"{path.name}: {found and found.group()}"


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def test_no_test_uses_a_private_name_of_ours() -> None:
    """Imported, as an attribute, or by its path as text."""
    private: set[str] = set()
    for path in SOURCE.parent.rglob("*.py"):
        for node in nodes_of(path):
            if isinstance(node, ast.ClassDef | ast.FunctionDef):
                private.add(node.name)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                private.add(node.attr)
    torchs = {"_modules", "_parameters", "_buffers", "_forward_hooks", "_forward_pre_hooks"}
    private = {name for name in private if is_private(name)} - torchs
    by_path = re.compile(r"autocompress(_\w+)?(\.\w+)*\._[a-zA-Z]\w*")
    for path in (ROOT / "tests").rglob("*.py"):
        nodes = nodes_of(path)
        own = {n.name for n in nodes if isinstance(n, ast.ClassDef | ast.FunctionDef)}
        for node in nodes:
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("autocompress"):
                assert not any(is_private(alias.name) for alias in node.names), path
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert not by_path.fullmatch(node.value), f"{path.name}: {node.value}"
            elif isinstance(node, ast.Attribute) and node.attr in private - own:
                assert ast.unparse(node.value) in ("self", "os"), f"{path.name}: {node.attr}"


def test_the_stored_help_is_that_of_the_options() -> None:
    """The help of a verb is printed from help.json, so that nothing is imported for it."""
    from autocompress.commands.help import stored
    from autocompress.commands.helping import STORED

    assert STORED.read_text() == stored(), "options or their words have changed: make help-texts"
