"""Where the studies stand: beside the library, which imports them late, and without circles."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from autocompress_studies import find_study, list_studies
from autocompress_studies.study import Study

SOURCE = Path(__file__).parents[2] / "src"
OURS = SOURCE / "autocompress_studies"


def imported(path: Path) -> set[str]:
    """Modules that a file imports, wherever in it the import stands; not those for types only."""
    tree = ast.parse(path.read_text())
    typed = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and id(node) not in typed:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def module(path: Path) -> str:
    return ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")


def test_only_one_verb_of_the_library_imports_studies() -> None:
    users = [
        path.relative_to(SOURCE).as_posix()
        for path in (SOURCE / "autocompress").rglob("*.py")
        if any(name.split(".")[0] == OURS.name for name in imported(path))
    ]
    assert users == ["autocompress/commands/reproduce.py"]


def test_no_file_imports_itself_by_way_of_others() -> None:
    files = {module(path): path for path in OURS.rglob("*.py")}
    graph = {name: imported(path) & (set(files) - {name}) for name, path in files.items()}
    order = list(TopologicalSorter(graph).static_order())  # raises CycleError
    assert order[-1] == OURS.name or OURS.name in order


def test_a_study_is_one_file_that_imports_no_other_study() -> None:
    studies = OURS / "studies"
    names = {path.stem for path in studies.glob("*.py")} - {"__init__"}
    assert {name.replace("-", "_") for name in list_studies()} <= names
    for path in studies.glob("*.py"):  # what studies share stands in modules without a study
        others = {name.replace("-", "_") for name in list_studies()} - {path.stem}
        assert not imported(path) & {f"{OURS.name}.studies.{name}" for name in others}, path


@pytest.mark.parametrize("name", list_studies())
def test_every_study_is_whole(name: str) -> None:
    study = find_study(name)
    assert isinstance(study, Study)
    assert study.name == name
    assert set(study.costs) == set(study.presets)
    for preset in study.presets:
        arms = study.arms(study.settings(preset))
        keys = [arm.key for arm in arms]
        assert len({arm.name for arm in arms}) == len(keys)
        for place, arm in enumerate(arms):
            assert set(arm.after) <= set(keys[:place]), arm
