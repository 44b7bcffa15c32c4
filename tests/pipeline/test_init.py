"""Weights that exist as the start of a run: our folders, a transformers folder."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import autocompress as ac
from autocompress.cli import main
from autocompress.data import DataConfig, Splits, load_data
from autocompress.errors import AutoCompressError, ConfigError
from autocompress.pipeline import (
    ModelConfig,
    RunConfig,
    StreamRun,
    build_network,
    read_config,
    resolve,
    to_yaml,
)
from autocompress.report import load_report

transformers = pytest.importorskip("transformers", reason="needs the extra transformers")


@pytest.fixture(scope="module")
def data() -> Splits:
    return load_data(DataConfig())


@pytest.fixture(scope="module")
def trained(data: Splits, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A residual network with weights of its own, as ``acn train`` leaves it in RUN/model."""
    folder = tmp_path_factory.mktemp("init") / "run"
    config = ModelConfig(name="mixer", depth=3, connectivity="residual", options={"width": 8})
    folder.mkdir()
    ac.save(build_network(config, data, seed=5), folder / "model")
    return folder


@pytest.mark.parametrize("inner", ["", "model"])
def test_a_folder_of_ours_gives_its_weights(trained: Path, inner: str, data: Splits) -> None:
    net = build_network(
        ModelConfig(init=str(trained / inner), connectivity="residual"), data, seed=0
    )
    was = ac.load(trained / "model")
    assert net.config == was.config
    x = was.example()
    assert torch.equal(net.eval()(x), was.eval()(x))


def test_another_rule_and_fewer_layers(trained: Path, data: Splits) -> None:
    net = build_network(ModelConfig(init=str(trained), depth=2, connectivity="acn"), data, seed=0)
    assert (net.depth, net.config["connectivity"]) == (2, "acn")
    was = ac.load(trained / "model")
    assert len(net.trunk.blocks) == 2
    for ours, theirs in zip(net.trunk.blocks, was.trunk.blocks, strict=False):
        for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
            assert torch.equal(a, b)


@pytest.mark.parametrize("depth", [None, 2])
@pytest.mark.parametrize(
    "rule",
    [
        "residual",
        {"name": "acn", "inner": 1.0},  # an annealed network
        {"name": "plane", "short": [1.0, 0.5, 0.2], "long": 0.5, "inner": 1.0},
        {"name": "hacn", "start": 0.25},
        {"name": "hacn", "channels": 8},
        "denseformer",
        {"name": "hyper", "streams": 2},
        {"name": "input_fed", "input": 0.5},
    ],
    ids=str,
)
def test_weights_keep_the_connectivity_that_they_have_learned(
    rule: str | dict[str, object], depth: int | None, data: Splits, tmp_path: Path
) -> None:
    """With another one, or fresh gates, they know nothing."""
    config = ModelConfig(depth=3, connectivity=rule, options={"width": 8})
    was = build_network(config, data, seed=5).eval()
    with torch.no_grad():
        for parameter in was.trunk.connectivity.parameters():
            parameter += 0.1 * torch.rand_like(parameter)
    ac.save(was, tmp_path / "net")
    start = ModelConfig(init=str(tmp_path / "net"), depth=depth)
    run = resolve(RunConfig(model=start))
    assert resolve(StreamRun(model=start)).model == run.model
    (tmp_path / "config.yaml").write_text(to_yaml(run))
    assert resolve(read_config(tmp_path / "config.yaml")) == run
    net = build_network(run.model, data, seed=0).eval()
    x = was.example()
    assert torch.equal(net(x), was(x, depth=depth))
    assert run.stepwise == run.rivals == (rule == "residual")


@pytest.mark.parametrize(
    ("own", "more", "said"),
    [
        ("residual", ["--model.connectivity", "acn"], "(residual), and model.connectivity names"),
        ("acn", ["--path", "anneal"], "(acn), and a path begins residual"),
        ("residual", ["--path", "anneal"], ""),
        ("acn", [], ""),
        ("hacn", ["--model.connectivity", "hacn"], ""),
    ],
)
def test_weights_that_are_trained_with_another_connectivity_get_a_note(
    own: str,
    more: list[str],
    said: str,
    data: Splits,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = ModelConfig(depth=2, connectivity=own, options={"width": 8})
    ac.save(build_network(config, data, seed=5), tmp_path / "net")
    words = ["train", "--model.init", str(tmp_path / "net"), *more, "--fit.epochs", "1"]
    assert main([*words, "--data.train_limit", "200", "--output", str(tmp_path / "run")]) == 0
    notes = [line for line in capsys.readouterr().out.splitlines() if "another conn" in line]
    assert len(notes) == bool(said)
    assert all(said in note for note in notes)


def test_train_says_that_it_cuts_no_layers(
    data: Splits, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = ModelConfig(depth=2, connectivity="residual", options={"width": 8})
    ac.save(build_network(config, data, seed=5), tmp_path / "net")
    words = ["train", "--model.init", str(tmp_path / "net"), "--data.train_limit", "200"]
    for more, said in (([], True), (["--model.connectivity", "residual"], False)):
        run = ["--fit.epochs", "1", "--output", str(tmp_path / f"run{said}")]
        assert main([*words, *more, *run]) == 0
        assert ("acn compress cuts in steps" in capsys.readouterr().out) == said


def test_rivals_start_there_too(trained: Path, data: Splits) -> None:
    config = RunConfig(model=ModelConfig(init=str(trained)), path="anneal")
    rival = config.rival(2)
    assert rival.fit.path is None
    net = build_network(rival.model, data, seed=0)
    was = ac.load(trained / "model")
    x = was.example()
    assert torch.equal(net.eval()(x), was.cut(2).eval()(x))


def test_what_a_start_does_not_allow(trained: Path, data: Splits, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"model\.width cannot be changed"):
        build_network(ModelConfig(init=str(trained), options={"width": 16}), data, seed=0)
    with pytest.raises(ConfigError, match=r"model\.init"):
        ModelConfig(init=str(trained), source="timm:vit_tiny_patch16_224")
    arguments = {"depth": 1, "width": 8, "classes": 3, "image_size": 8, "channels": 1}
    ac.save(ac.models.MLP(**arguments), tmp_path / "three")
    with pytest.raises(ConfigError, match="3 classes, the data 10"):
        build_network(ModelConfig(init=str(tmp_path / "three")), data, seed=0)
    with pytest.raises(AutoCompressError, match="nowhere"):
        build_network(ModelConfig(init=str(tmp_path / "nowhere")), data, seed=0)


def test_a_transformers_folder(data: Splits, tmp_path: Path) -> None:
    torch.manual_seed(3)
    config = transformers.ViTConfig(
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=8,
        patch_size=4,
        num_channels=1,
        num_labels=10,
    )
    theirs = transformers.ViTForImageClassification(config).eval()
    theirs.save_pretrained(tmp_path / "vit")
    net = build_network(
        ModelConfig(init=f"hf:{tmp_path / 'vit'}", connectivity="residual"), data, seed=0
    )
    x = torch.randn(2, 1, 8, 8)
    assert torch.equal(net.eval()(x), theirs(x).logits)


def test_cut_and_healed(trained: Path, tmp_path: Path, no_onnx: None) -> None:
    """The small network is the first two layers, trained further: better, and said so."""
    words = ["compress", "--model.init", str(trained), "--model.connectivity", "residual"]
    words += ["--select.layers", "2", "--heal", "3", "--fit.epochs", "1", "--rivals", "false"]
    words += ["--fit.batch_size", "128", "--fit.warmup_epochs", "0.2", "--fit.lr", "0.01"]
    out = tmp_path / "out"
    assert main([*words, "--output", str(out)]) == 0
    report = load_report(out / "report.json")
    assert report["selected"] == report["small"]["depth"] == 2
    assert "then trained for 3 more epochs" in report["rule"]
    assert report["checks"]["small_vs_probe_max_abs_difference"] == 0.0
    before, after = report["depths"][2]["validation"], report["small"]["validation"]
    assert before is not None
    assert after is not None
    assert after > before
    assert len((out / "healed" / "metrics.jsonl").read_text().splitlines()) == 3
    healed, small = ac.load(out / "healed" / "model"), ac.load(out / "small")
    assert torch.equal(healed(healed.example(2) * 0), small(small.example(2) * 0))
    assert main([*words, "--output", str(out), "--resume", "true"]) == 0
    assert load_report(out / "report.json")["small"]["test"] == report["small"]["test"]


@pytest.mark.slow
def test_pretrained_in_shallower_out(trained: Path, tmp_path: Path) -> None:
    """The one-liner of the README, on a tiny network."""
    words = ["compress", "--model.init", str(trained), "--path", "anneal", "--fit.epochs", "2"]
    words += ["--fit.batch_size", "256", "--fit.warmup_epochs", "0.5"]
    assert main([*words, "--output", str(tmp_path / "out")]) == 0
    report = load_report(tmp_path / "out" / "report.json")
    assert [row["depth"] for row in report["depths"]] == [0, 1, 2, 3]
    assert report["baseline"]["depth"] == 3
    assert "cut before training" in (tmp_path / "out" / "report.html").read_text()


def test_a_class_without_weights_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It would train a new network where weights were asked for."""
    monkeypatch.chdir(tmp_path)
    rows = [f"a {word} film {n},{word}" for n in range(20) for word in ("good", "bad")]
    Path("films.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    for more in ([], ["--model.connectivity", "acn", "--rivals", "false"]):
        words = ["compress", "films.csv", "--model.init", "hf:bert", *more, "--output", "run"]
        assert main(words) == 2
        said = capsys.readouterr().err
        assert f"no folder 'bert' in {tmp_path}" in said
        assert "hf:google-bert/bert-base-uncased" in said
        assert "--model.source hf:bert trains a new network" in said
    data = load_data(DataConfig(name="films.csv", task="text-classification", vocabulary=60))
    with pytest.raises(ConfigError, match="'hf:BertModel' names no weights"):
        build_network(ModelConfig(init="hf:BertModel", connectivity="acn"), data, seed=0)
