"""The command line, as a user meets it: the whole road on a tiny network, and wrong input."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import onnxruntime
import pytest
import torch
import yaml

import autocompress as ac
from autocompress.cli import main
from autocompress.connectivity import list_connectivities
from autocompress.pipeline import RunConfig, option_keys, read_config, to_yaml
from autocompress.report import load_report
from strangers import code

TINY = [
    *("--model.depth", "3", "--model.width", "8", "--model.connectivity", "acn"),
    *("--fit.epochs", "2", "--fit.batch_size", "128"),
    *("--fit.warmup_epochs", "1", "--fit.lr", "0.003"),
]


def acn(*words: object) -> int:
    return main([str(word) for word in words])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished ``acn compress``."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    assert acn("compress", *TINY, "--output", folder) == 0
    return folder


def test_a_run_without_onnx_ends_with_its_report(
    run: Path, tmp_path: Path, no_onnx: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """Hours of training are not lost for the want of an extra."""
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    (folder / "small.onnx").unlink()
    assert acn("compress", *TINY, "--output", folder, "--resume", "true") == 0
    assert "says why" in capsys.readouterr().out
    assert not (folder / "small.onnx").exists()
    assert load_report(folder / "report.json")["checks"]["onnx_max_abs_difference"] is None
    assert "says why" in (folder / "report.html").read_text()


def test_compress_leaves_what_the_design_says(run: Path) -> None:
    for name in ("config.yaml", "metrics.jsonl", "small.onnx", "report.json", "report.html"):
        assert (run / name).stat().st_size > 0, name
    for name in ("model", "small"):
        files = {"config.json", "model.safetensors", "README.md"}
        files |= {"depth.png"} if name == "small" else set()
        assert {f.name for f in (run / name).iterdir()} == files
    assert "The score of every depth" in (run / "small" / "README.md").read_text()
    assert any((run / "checkpoints").iterdir())
    report = load_report(run / "report.json")
    assert [row["depth"] for row in report["depths"]] == [0, 1, 2, 3]
    assert report["checks"]["small_vs_probe_max_abs_difference"] == 0.0
    assert report["checks"]["onnx_max_abs_difference"] < 1e-4
    assert report["small"]["depth"] == report["selected"] == report["shallow"]["depth"]
    assert report["baseline"]["depth"] == 3
    assert report["small"]["test"] == report["depths"][report["selected"]]["test"]
    assert report["task"] == {
        "dataset": "digits",
        "metric": "accuracy",
        "train": 1149,
        "validation": 288,
        "test": 360,
    }
    lines = (run / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2]
    assert report["late_gain"] is None  # two epochs do not tell


def test_the_shipped_network_is_the_reported_one(run: Path) -> None:
    small = ac.load(run / "small")
    data = ac.load_data(ac.DataConfig())
    report = load_report(run / "report.json")
    assert ac.probe(small, data.test).scores[-1] == pytest.approx(report["small"]["test"], abs=1e-6)
    session = onnxruntime.InferenceSession(run / "small.onnx")
    x = torch.randn(7, 1, 8, 8)
    (logits,) = session.run(None, {"images": x.numpy()})
    torch.testing.assert_close(torch.from_numpy(logits), small(x), atol=1e-4, rtol=1e-4)


def test_config_yaml_repeats_the_run(run: Path, tmp_path: Path) -> None:
    config = read_config(run / "config.yaml")
    assert to_yaml(config) == (run / "config.yaml").read_text()
    assert config.model.depth == 3
    again = tmp_path / "again"
    assert acn("train", "--config", run / "config.yaml", "--output", again) == 0
    old, new = ac.load(run / "model").state_dict(), ac.load(again / "model").state_dict()
    assert all(torch.equal(old[key], new[key]) for key in old)


def test_the_verbs_after_training(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert acn("probe", run, "--json", "true") == 0
    rows = json.loads(capsys.readouterr().out)
    report = load_report(run / "report.json")
    assert [r["score"] for r in rows] == pytest.approx(
        [r["validation"] for r in report["depths"]], abs=1e-6
    )
    assert acn("probe", run / "small", "--split", "test") == 0
    assert "interval" in capsys.readouterr().out
    assert acn("cut", run, "--depth", 1, "--output", tmp_path / "one") == 0
    assert acn("measure", tmp_path / "one", "--json", "true") == 0
    measured = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert measured["parameters"] == report["depths"][1]["parameters"]
    assert acn("export", tmp_path / "one", "--output", tmp_path / "one.onnx") == 0
    assert (tmp_path / "one.onnx").exists()
    (run / "report.html").unlink()
    assert acn("report", run) == 0
    assert (run / "report.html").exists()


def test_the_report_of_a_strangers_run_runs_nothing(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    (folder / "sealed.json").unlink()  # a stranger writes hashes that fit
    for value in code(tmp_path / "marker"):
        (folder / "config.yaml").write_text(json.dumps({"model": {"arguments": {"x": value}}}))
        assert acn("report", folder) == 2
        assert "requests that code be run" in capsys.readouterr().err
    assert not (tmp_path / "marker").exists()


def test_only_validation_chooses_a_depth(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for split, chooses in [("validation", True), ("test", False), ("train", False)]:
        assert acn("probe", run, "--split", split) == 0
        shown = capsys.readouterr().out
        assert ("By the default rule" in shown) == chooses
        assert ("no depth is chosen" in shown) != chooses


def test_a_network_without_layers_cannot_be_pruned(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ac.save(ac.models.MLP(depth=0, width=4, image_size=8, channels=1), tmp_path / "none")
    assert acn("prune", tmp_path / "none", "--share", 0.5, "--output", tmp_path / "no") == 2
    assert "has 0 layers" in capsys.readouterr().err
    assert not (tmp_path / "no").exists()


def test_prune(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert acn("prune", run, "--share", 0.4, "--output", tmp_path / "sparse") == 0
    assert "40.0 % of the weights in the blocks' matrices are zero" in capsys.readouterr().out
    by_hand = ac.load(run / "model")
    ac.prune(by_hand, 0.4)
    sparse = ac.load(tmp_path / "sparse")
    assert all(torch.equal(v, sparse.state_dict()[k]) for k, v in by_hand.state_dict().items())
    assert acn("prune", run, "--share", 1.4, "--output", tmp_path / "no") == 2
    capsys.readouterr()
    assert acn("prune", tmp_path / "sparse", "--share", 0.25, "--output", tmp_path / "no") == 2
    assert "40 % of the weights in the blocks' matrices are zero already" in capsys.readouterr().err
    assert not (tmp_path / "no").exists()


@pytest.mark.slow
def test_a_run_that_prunes_and_heals(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All networks are equally sparse in the end, the healed one too."""
    folder = tmp_path / "run"
    how = ("--fit.prune.score", "movement", "--fit.prune.share", 0.4, "--select.layers", 2)
    assert acn("compress", *TINY, *how, "--heal", 1, "--output", folder) == 0
    assert "zeros in matrices" in capsys.readouterr().out
    report = load_report(folder / "report.json")
    for name in ("full", "small", "baseline", "shallow"):
        assert report[name]["sparsity"] == pytest.approx(0.4, abs=0.02), name  # type: ignore[literal-required]
    assert "zeros in matrices" in (folder / "report.html").read_text()
    assert ac.sparsity(ac.load(folder / "healed" / "model")) == report["small"]["sparsity"]


def test_probe_with_noise_and_exit(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scores = []
    for noise in ("gaussian:0", "salt_pepper:0.9"):
        assert acn("probe", run, "--json", "true", "--noise", noise) == 0
        scores.append(json.loads(capsys.readouterr().out)[-1]["score"])
    full = load_report(run / "report.json")["full"]
    assert scores[0] == pytest.approx(full["validation"], abs=1e-6)
    assert scores[1] != scores[0]
    words = ("--threshold", "0", "--depths", "[2]", "--clock", "false", "--json", "true")
    assert acn("exit", run, *words) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["test"]["depth"] == ac.load(run / "model").depth
    assert acn("exit", run, "--drop", "0.02") == 0
    assert "mean depth" in capsys.readouterr().out
    assert acn("probe", run, "--noise", "gaussian") == 2
    assert "KIND:LEVEL" in capsys.readouterr().err


@pytest.mark.slow
def test_an_interrupted_run_says_how_to_go_on_and_does(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    words = [*TINY, "--fit.epochs", "500", "--rivals", "false", "--output", str(folder)]
    process = subprocess.Popen(
        [sys.executable, "-m", "autocompress.cli", "compress", *words],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        # a suite that runs in the background ignores Ctrl-C, and its children would as well
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.time() + 90
    while not list(folder.glob("checkpoints/epoch-*")) and time.time() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGINT
    assert f"acn compress --config {folder}/config.yaml" in errors
    assert "Traceback" not in errors
    assert not (folder / "model").exists()
    assert not list(folder.rglob("*.tmp*"))
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert config["fit"]["epochs"] == 500


def test_ctrl_c_between_two_trainings_says_how_to_go_on_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("autocompress.pipeline.compressing.run_costs", stopped)
    folder = tmp_path / "run"
    words = [*TINY, "--fit.epochs", "1", "--rivals", "false", "--output", folder]
    assert acn("compress", *words) == 130
    assert (folder / "model" / "model.safetensors").exists()
    errors = capsys.readouterr().err
    assert f"--config {folder}/config.yaml --output {folder} --resume\n" in errors


def test_probe_of_data_that_a_foreign_network_does_not_take(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = '{"img_size": 16, "patch_size": 4, "embed_dim": 16, "num_heads": 2, "depth": 1}'
    words = ["timm:vit_tiny_patch16_224", "--arguments", small, "--output", tmp_path / "net"]
    assert acn("convert", *words) == 0
    assert acn("probe", tmp_path / "net", "--data.name", "digits") == 2
    assert "does not take inputs of shape (batch, 1, 8, 8)" in capsys.readouterr().err


@pytest.mark.parametrize("rule", list_connectivities())
def test_every_connectivity_trains_by_its_name(rule: str, tmp_path: Path) -> None:
    words = [*TINY, "--fit.epochs", "1", "--data.train_limit", "300", "--output", tmp_path / rule]
    words += ["--model.connectivity", rule]
    words += {"plane": ["--model.gates", "learned"], "dense": ["--model.channels", "8"]}.get(
        rule, []
    )
    assert acn("train", *words) == 0
    assert acn("cut", tmp_path / rule, "--depth", 2, "--output", tmp_path / "small") == 0


def test_resume_skips_what_is_finished(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    for late in ("shallow", "small", "report.json"):
        path = copy / late
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    before = (copy / "model" / "model.safetensors").stat().st_mtime_ns
    words = ["--config", run / "config.yaml", "--output", copy, "--resume", "true"]
    assert acn("compress", *words) == 0
    assert (copy / "model" / "model.safetensors").stat().st_mtime_ns == before
    old, new = load_report(run / "report.json"), load_report(copy / "report.json")
    for key in ("rule", "selected", "checks", "classes", "examples"):
        assert old[key] == new[key]
    for point, after in zip(old["depths"], new["depths"], strict=True):
        measured = {"latency_ms", "latency_spread_ms", "latency_ratio"}
        assert all(point[key] == after[key] for key in point.keys() - measured)
    assert old["shallow"]["test"] == new["shallow"]["test"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["compres", "--output", "x"], "compress"),
        (["compress", "--output", "x", "--fit.epoch", "3"], "did you mean 'fit.epochs'"),
        (["compress", "--output", "x", "--fit.path.stat", "0.1"], "did you mean 'fit.path."),
        (["compress", "--output", "x", "--fit.epochs", "many"], "whole number"),
        (["compress", "--output", "x", "--fit.epochs", "0"], "greater than 0"),
        (["compress", "--output", "x", "--fit.optimizer", "adam"], "adamw"),
        (["compress", "--output", "x", "--model.name", "mixr"], "did you mean 'mixer'"),
        (["compress", "--output", "x", "--model.connectivity", "acm"], "did you mean 'acn'"),
        (["compress", "--output", "x", "--model.heads", "4"], "heads"),
        (["compress", "--output", "x", "--model.depth", "-1"], "0 or more"),
        (["compress", "--output", "x", "--data.name", "digit"], "did you mean 'digits'"),
        (["compress", "--output", "x", "--data.name", "no/such/set"], "no/such/set"),
        (["compress", "--output", "x", "--config", "none.yaml"], "none.yaml"),
        (["compress", "--output", "x", "--select.tolerance", "7"], "fraction"),
        (
            ["compress", "--output", "x", "--select.tolerance", "0.1", "--select.knee", "true"],
            "one",
        ),
        (["train", "--output", "x", "--model.patch_size", "3"], "must divide"),
        (["compress", "--output", "x", "--select.layers", "13"], "depths 0..12"),
        (["train", "--output", "x", "--model.source", "timm:convnext_atto"], "data.image_size"),
        (
            ["train", "--output", "x", "--model.source", "hf:BertForSequenceClassification"],
            "does not take inputs of shape (batch, 1, 8, 8)",
        ),
        (["probe", "nowhere"], "does not exist"),
        (["measure", "."], "no saved network"),
        (["report", "."], "report.json"),
    ],
)
def test_wrong_words_exit_2_with_one_message_and_write_nothing(
    words: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert main(words) == 2
    errors = capsys.readouterr().err
    assert said in errors
    assert "Traceback" not in errors
    assert errors.startswith("acn: error: ")
    assert not list(tmp_path.iterdir())


def test_wrong_keys_in_a_recipe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = tmp_path / "bad.yaml"
    for text, said in [
        ("fit:\n  epochz: 3\n", "did you mean 'fit.epochs'"),
        ("modle:\n  depth: 3\n", "line 1: unknown option 'modle'; did you mean 'model'"),
        ("fit:\n  path:\n    stat: 1\n", "fit.path.sta"),
        ("fit: [1, 2\n", "flow sequence"),
    ]:
        recipe.write_text(text)
        assert acn("train", "--config", recipe, "--output", tmp_path / "x") == 2
        assert said in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_output_that_exists(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(run.rglob("*"))
    assert acn("compress", *TINY, "--output", run) == 2
    assert "add --resume\n" in capsys.readouterr().err
    assert acn("compress", *TINY, "--model.depth", 4, "--output", run, "--resume", "true") == 2
    assert "other settings" in capsys.readouterr().err
    assert acn("cut", run, "--depth", 1, "--output", run) == 2
    assert sorted(run.rglob("*")) == before


def test_output_that_cannot_be_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert acn("train", *TINY, "--output", tmp_path / "file" / "run") == 2
    assert "cannot write" in capsys.readouterr().err


def test_cut_out_of_range(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert acn("cut", run, "--depth", 9, "--output", tmp_path / "x") == 2
    assert "depths 0..3" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_damaged_model(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tmp_path / "model"
    shutil.copytree(run / "model", model)
    weights = model / "model.safetensors"
    good = weights.read_bytes()
    for bad, said in [(good[:-100], "truncated"), (good[:-4] + b"\0\1\2\3", "altered")]:
        weights.write_bytes(bad)
        assert acn("measure", model) == 2
        assert said in capsys.readouterr().err


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    for words, said in [
        (["--version"], ac.__version__),
        (["-V"], ac.__version__),
        (["--help"], "compress"),
        (["compress", "--help"], "--fit.epochs"),
        ([], "VERB"),
    ]:
        assert main(words) == 0
        assert said in capsys.readouterr().out


def test_the_options_are_frozen() -> None:
    """A new knob is a decision: add it here too."""
    kept = Path(__file__).with_name("options.txt")
    assert sorted(option_keys(RunConfig)) == kept.read_text().split()


@pytest.mark.parametrize(
    "recipe", sorted((Path(__file__).parents[2] / "recipes").glob("*.yaml")), ids=lambda p: p.stem
)
def test_every_recipe_is_legal(recipe: Path) -> None:
    assert read_config(recipe).fit.epochs > 0
