"""Names that a package's files register, found without importing them."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from autocompress.connectivity import list_connectivities
from autocompress.data.generated import GENERATED
from autocompress.registry import Registry, registered_in
from autocompress.savable import MODELS
from autocompress_studies import find_study, list_studies


def test_a_file_joins_by_its_decorator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "shelves"
    package.mkdir()
    (package / "__init__.py").write_text('@register_shelf("of its own")\n')
    (package / "helper.py").write_text('"""Not @register_shelf("nothing")."""\n')
    (package / "oak.py").write_text(
        "from shelves_registry import register_shelf\n\n\n"
        '@register_shelf("old-oak")\nclass Oak:\n    "A shelf."\n'
    )
    found = registered_in(package, "shelves", "register_shelf")
    assert found == {"old-oak": "shelves.oak"}
    shelves: Registry[type] = Registry("shelf", found)
    (package / "__init__.py").write_text("")
    there = ModuleType("shelves_registry")
    there.register_shelf = shelves.register  # type: ignore[attr-defined]
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(sys.modules, "shelves_registry", there)
    assert list(shelves) == ["old-oak"]
    assert "shelves.oak" not in sys.modules
    assert shelves["old-oak"].__name__ == "Oak"
    monkeypatch.delitem(sys.modules, "shelves.oak")
    monkeypatch.delitem(sys.modules, "shelves")


def test_the_librarys_own_names() -> None:
    models = {"branched", "converted", "decoder", "encoder", "mixer", "mlp", "vit"}
    assert models <= set(MODELS)
    assert {"doubling", "hierarchy"} <= set(GENERATED)
    assert {"acn", "dense", "hyper", "input_fed", "residual"} <= set(list_connectivities())
    assert list_studies()[:2] == ["gradients", "depth"]
    assert {"blocks", "compression", "low-data", "ruler", "summary"} <= set(list_studies())
    assert len(list_studies()) >= 19
    assert all(find_study(name).name == name for name in list_studies())
