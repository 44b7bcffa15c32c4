"""benchmarks/gpu.py: all of its parts, on a small network and without a GPU."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import autocompress as ac

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    out = tmp_path_factory.mktemp("gpu")
    command = [sys.executable, str(BENCHMARKS / "gpu.py"), "--tiny", "--minutes", "1"]
    command += ["--out", str(out / "results"), "--work", str(out / "work")]
    done = subprocess.run(
        command,
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert "error" not in done.stdout.lower()
    return out, command


def read(out: Path, part: str) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((out / "results" / f"{part}.json").read_text())
    assert record["finished"]
    assert record["settings"]["tiny"]
    assert record["environment"]["torch"]
    return record["results"]


@pytest.mark.slow
def test_speed_part(results: tuple[Path, list[str]]) -> None:
    found = read(results[0], "speed")
    assert found["steps"].keys() == {"acn, off", "residual, off"}
    assert all(
        row["ms_lowest"] <= row["ms"] <= row["ms_highest"] for row in found["steps"].values()
    )
    assert found["probe"]["passes_over_probe"] > 1  # L + 1 passes against one
    saved = [row["flops_ratio"] for row in found["exit"]["by_share"].values()]
    assert saved == sorted(saved)  # the more are sure, the more is saved


@pytest.mark.slow
def test_train_part_trains_every_arm_for_the_same_epochs(
    results: tuple[Path, list[str]],
) -> None:
    found = read(results[0], "train")
    epochs = found["plan"]["epochs"]
    assert found["arms"].keys() == {"acn", "annealed", "taught"}
    for arm in found["arms"].values():
        assert arm["ended"]
        assert arm["epochs"] == len(arm["loss"]) == epochs
        assert [len(scores) for scores in arm["curve"].values()] == [4] * epochs


@pytest.mark.slow
def test_after_part_examines_what_was_trained(
    results: tuple[Path, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    setup = importlib.import_module("gpu_setup").load_setup(results[0] / "work")
    found = read(results[0], "after")
    curve = read(results[0], "train")["arms"]["acn"]["curve"]["2"]
    acn = found["arms"]["acn"]
    saved = ac.load(results[0] / "work" / "runs" / "acn" / "model", setup.device)
    with torch.autocast(setup.device.type, torch.bfloat16):  # as the training reads its scores
        assert [round(s, 4) for s in ac.probe(saved, setup.validation).scores] == curve
    assert acn["validation"] == [round(s, 4) for s in ac.probe(saved, setup.validation).scores]
    assert acn["pruned"]["0"] == acn["test"]
    assert acn["test"][acn["kept"]] >= 0
    assert found["latency_ms"].keys() == {"1", "256"}
    assert found["shallow"]["depth"] == acn["kept"]


@pytest.mark.slow
def test_what_is_there_is_skipped(results: tuple[Path, list[str]]) -> None:
    out, command = results
    before = {path: path.read_bytes() for path in (out / "results").iterdir()}
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout.count("exists") == 3
    assert {path: path.read_bytes() for path in (out / "results").iterdir()} == before


@pytest.mark.slow
def test_the_committed_page_is_made_from_the_committed_results(
    results: tuple[Path, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    gpu_page = importlib.import_module("gpu_page")
    assert gpu_page.PAGE.read_text() == gpu_page.page()
    made = gpu_page.page(results[0] / "results")
    assert all(f"## {title}" in made for title in ("Speed", "Training", "Without more training"))
    assert "Not yet run" in gpu_page.page(results[0] / "nowhere")
