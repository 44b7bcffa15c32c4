"""The notebooks run from top to bottom."""

from __future__ import annotations

from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


@pytest.mark.slow  # half a minute each
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path, tmp_path: Path) -> None:
    nbformat = pytest.importorskip("nbformat", reason="notebooks run by nbclient (extra notebooks)")
    nbclient = pytest.importorskip("nbclient", reason="notebooks run by nbclient (extra notebooks)")
    pytest.importorskip("ipykernel", reason="notebooks need a kernel (extra notebooks)")
    notebook = nbformat.read(path, as_version=4)
    place = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=600, resources=place).execute()


def test_no_notebook_is_committed_with_a_failed_cell() -> None:
    assert len(NOTEBOOKS) == 3
    for path in NOTEBOOKS:
        text = path.read_text(encoding="utf-8")
        assert '"output_type": "error"' not in text, path.name
        assert '"output_type": "stream"' in text, f"{path.name} has no outputs"
