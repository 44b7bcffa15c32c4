"""What the README says, run."""

from __future__ import annotations

import importlib
import json
import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import autocompress as ac
from models_table import depths_of

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(text: str, language: str) -> list[str]:
    fenced = re.findall(r"^```(\w*)\n(.*?)^```", text, re.M | re.S)
    return [body for name, body in fenced if name == language]


def test_the_library_in_15_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, predicting = blocks(README, "python")
    for text, most in ((code, 15), (predicting, 3)):
        assert len([line for line in text.splitlines() if line.strip()]) <= most
    fit = ac.fit  # of one epoch, which shows as much

    def shortly(net: Any, train: Any, validation: Any, config: Any) -> Any:
        return fit(net, train, validation, replace(config, epochs=1), progress=False)

    monkeypatch.setattr(ac, "fit", shortly)
    names: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), names)
    Image.new("L", (8, 8)).save("photo.png")
    exec(compile(predicting, "README.md", "exec"), {})
    assert (tmp_path / "small" / "model.safetensors").exists()
    assert (tmp_path / "small.onnx").exists()
    assert names["small"].depth == names["depth"].depth  # type: ignore[attr-defined]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_commands_name_what_exists(page: Path) -> None:
    """Every ``acn`` and ``make`` line: verbs, recipes, options, targets."""
    from autocompress.commands.accepts import options_of_verb
    from autocompress.commands.table import VERBS

    text = page.read_text()
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.M))
    for line in "".join(blocks(text, "")).splitlines():
        for command in line.split("#")[0].split(";"):
            words = shlex.split(command)
            if words[:1] == ["make"]:
                assert set(words[1:]) <= targets, line
            if words[:1] == ["acn"] and words[1].isupper() is False:
                assert words[1] in VERBS, line
                options = [word for word in words if word.startswith("--")]
                known = {
                    "--help",
                    "--help-all",
                    *(f"--{key}" for key in options_of_verb(VERBS[words[1]]).names()),
                }
                assert set(options) <= known, line
                for word in words:
                    if word.startswith("recipes/"):
                        assert (ROOT / word).exists(), line


CONVERT = (ROOT / "docs" / "convert.md").read_text()


@pytest.mark.filterwarnings("ignore:The following named arguments are not valid")
@pytest.mark.parametrize(
    "code", blocks(CONVERT, "python"), ids=["timm", "encoder", "decoder", "own"]
)
def test_the_walks_through_conversion(
    code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "convert.md", "exec"), {"__name__": "walk"})


def test_the_example_of_the_training_page() -> None:
    code, taught, callback = blocks((ROOT / "docs" / "training.md").read_text(), "python")
    exec(compile(callback, "training.md", "exec"), {})
    names: dict[str, object] = {}
    exec(compile(code, "training.md", "exec"), names)
    assert names["net"].rule() == {"name": "acn", "inner": 1.0}  # type: ignore[attr-defined]
    exec(compile(taught, "training.md", "exec"), names)  # goes on with the data of the first
    assert names["small"].depth == 3  # type: ignore[attr-defined]


@pytest.mark.parametrize("part", [0, 1, 2], ids=["inside", "branches", "tasks"])
def test_the_examples_of_the_diagnosis_page(
    part: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code = blocks((ROOT / "docs" / "diagnose.md").read_text(), "python")[part]
    exec(compile(code, "diagnose.md", "exec"), {})


def test_the_supported_layers_are_those_of_the_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    assert importlib.import_module("supported_table").table() in CONVERT


def test_links_lead_somewhere() -> None:
    link = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
    found = [(page, target) for page in PAGES for target in link.findall(page.read_text())]
    assert len(found) > 10
    for page, target in found:
        assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_readme_example_of_a_connectivity() -> None:
    """docs/architecture.md shows how a rule joins; it does."""
    import torch

    import autocompress as ac

    code = next(
        b
        for b in blocks((ROOT / "docs" / "architecture.md").read_text(), "python")
        if "my_rule" in b
    )
    exec(compile(code, "architecture.md", "exec"), {})
    net = ac.models.MLP(depth=3, width=8, connectivity="my_rule").eval()
    x = torch.randn(2, 1, 8, 8)
    assert all(torch.equal(y, ac.cut(net, k)(x)) for k, y in depths_of(net, x))


def test_the_measured_table_is_of_the_committed_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    measured = importlib.import_module("results_table")
    for page in (README, (ROOT / "docs" / "results.md").read_text()):
        assert set(measured.table().splitlines()) <= set(page.splitlines())
    assert len(list(measured.RUNS.glob("digits-seed*.json"))) >= 3


def test_the_digits_keep_their_accuracy_at_half_the_depth() -> None:
    """What the recipe promises, in the committed reports of three seeds."""
    reports = list((ROOT / "benchmarks" / "results" / "runs").glob("digits-seed*.json"))
    assert len(reports) >= 3
    for path in reports:
        report = json.loads(path.read_text())
        full, small, control = report["full"], report["small"], report["baseline"]
        assert 2 * small["depth"] <= full["depth"]
        assert small["test"] >= max(0.97, full["test"] - 0.005, control["test"] - 0.01)
        assert small["latency_ms"]["256"] <= 0.6 * full["latency_ms"]["256"]
        assert report["checks"]["small_vs_probe_max_abs_difference"] == 0


def test_the_demo_keeps_about_what_theory_requires() -> None:
    """And loses nothing, in the committed results of six seeds."""
    results = [
        json.loads(path.read_text())
        for path in sorted((ROOT / "benchmarks" / "results" / "ruler").glob("seed*.json"))
    ]
    kept = [result["selected"] for result in results]
    assert ", ".join(map(str, kept)) in (ROOT / "docs" / "ruler.md").read_text()
    assert f"{kept.count(2)} of {len(kept)} seeds" in README.replace("five of six", "5 of 6")
    for result in results:
        assert 2 <= result["selected"] <= 4
        assert result["test"][result["selected"]] >= result["test"][-1] - 0.005
