"""A model's options are its constructor's, a connectivity's those of its factory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import torch
import yaml
from torch import nn

import autocompress as ac
from autocompress.bounds import Share, Within
from autocompress.cli import main
from autocompress.connectivity import Spec
from autocompress.errors import ConfigError, UnknownNameError
from autocompress.io.seal import seal
from autocompress.network import Network, register_model
from autocompress.pipeline import (
    ModelConfig,
    RunConfig,
    build_network,
    make_config,
    read_config,
    to_yaml,
)
from autocompress.pipeline.config import settings_of_today
from autocompress.savable import MODELS
from autocompress.trunk import Block, Branch, Trunk


class Toy(Network):
    """A network with options that no model of the library has.

    Args:
        hops: how many blocks deep a branch is.
        spice: what is added.
        ratios: of the sizes of the layers.
        flavour: of the activation.
    """

    def __init__(
        self,
        depth: int = 2,
        width: int = 8,
        classes: int = 10,
        image_size: int = 8,
        channels: int = 1,
        connectivity: Spec = "acn",
        hops: int = 1,
        spice: Share = 0.25,
        ratios: tuple[float, ...] = (1.0,),
        flavour: Literal["sweet", "sour"] = "sweet",
        few: Annotated[int, Within(0, 3, "0 to 3")] = 0,
        note: str | None = None,
    ) -> None:
        size = channels * image_size**2
        bodies = [nn.Sequential(*(nn.Linear(width, width) for _ in range(hops)))] * depth
        super().__init__(
            stem=nn.Sequential(nn.Flatten(), nn.Linear(size, width)),
            trunk=Trunk([Block([Branch(b, nn.LayerNorm(width))]) for b in bodies], connectivity),
            head=nn.Linear(width, classes),
            settled={"note": note or flavour},
        )


@pytest.fixture(autouse=True)
def _toy() -> Iterator[None]:
    register_model("toy")(Toy)
    yield
    MODELS.remove("toy")


TINY = ["--data.train_limit=100", "--fit.epochs=1", "--fit.warmup_epochs=0.1"]


def run_of(words: list[str], capsys: pytest.CaptureFixture[str]) -> Any:
    """The resolved options of a run, without its training."""
    assert main(["train", *words, "--output", "nowhere", "--print_config"]) == 0
    return yaml.safe_load(capsys.readouterr().out)["model"]


def error_of(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["train", *words, "--output", "nowhere", "--print_config"]) == 2
    return capsys.readouterr().err


def test_a_new_model_is_trained_by_yaml_and_by_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "toy.yaml"
    recipe.write_text(
        "model: {name: toy, depth: 2, hops: 2, ratios: [1, 0.5], flavour: sour, few: 0}\n"
    )
    said = ["--model.name", "toy", "--model.depth", "2", "--model.hops", "2", "--model.few=0"]
    said += ["--model.ratios", "1", "0.5", "--model.flavour", "sour"]
    weights = []
    for name, words in {"yaml": ["--config", str(recipe)], "words": said}.items():
        out = tmp_path / name
        assert main(["train", *words, *TINY, "--output", str(out)]) == 0
        net = ac.load(out / "model")
        assert net.config["hops"] == 2
        assert list(net.config["ratios"]) == [1.0, 0.5]
        assert net.config["note"] == "sour"
        assert net.config["spice"] == 0.25
        weights.append(net.state_dict())
        assert read_config(out / "config.yaml").model.options["flavour"] == "sour"
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
    capsys.readouterr()
    with_help = main(["train", "--help-all"])
    assert with_help == 0
    shown = capsys.readouterr().out
    assert "--model.hops" in shown
    assert "how many blocks deep a branch is" in shown


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--model.name toy --model.hop 3", "did you mean 'model.hops'"),
        ("--model.hop 3 --model.name toy", "did you mean 'model.hops'"),
        ("--model.name toy --model.hops x", "'x' is not a whole number"),
        ("--model.name toy --model.hops 0", "model.hops 0 must be 1 or more"),
        ("--model.name toy --model.hops 1048577", "at most 1048576"),
        ("--model.name toy --model.few 4", "model.few 4 must be 0 to 3"),
        ("--model.name toy --model.few -1", "model.few -1 must be 0 to 3"),
        ("--model.name toy --model.spice 1", "model.spice 1.0 must be a share"),
        ("--model.name toy --model.flavour salty", "'salty' is not valid"),
        ("--model.name toy --model.heads 3", "option of model 'toy': 'heads'"),
        ("--model.hops 3", "option of model 'mixer': 'hops'"),
        ("--model.hops 3", "toy has it"),
        ("--model.name vit --model.chanel_width 3", "did you mean 'model.mlp_width'"),
        ("--model.name toy --model.options.hop 3", "did you mean 'model.hops'"),
        ("--model.name toy --model.options {hop: 3}", "did you mean 'hops'"),
        ("--model.name branched", "unknown model 'branched'"),
        ("--model.connectivity hyper --model.connectivity.streams 0", "1 or more"),
        ("--model.connectivity hyper --model.connectivity.streams x", "not a whole number"),
        ("--model.connectivity hyper --model.connectivity.stream 2", "connectivity.streams'"),
        ("--model.connectivity {name: hyper, stream: 2}", "did you mean 'streams'"),
        (
            "--model.connectivity {name: hyper, short: 2}",
            "'short' (known: streams); input_fed, plane have",
        ),
        ("--model.connectivity {streams: 2}", "connectivity 'acn': 'streams'"),
        ("--model.connectivity {name: hypr}", "did you mean 'hyper'"),
        ("--model.connectivity {name: hyper, class_path: x}", "requests that code"),
        ("--model.connectivity.class_path x", "requests that code"),
        ("--model.options {class_path: x}", "requests that code"),
        ("--model.connectivity {name: dense, channels: 2, channels: 3}", "occurs twice"),
        ("--model.connectivity dense", "needs channels"),
        ("--model.connectivity [a]", "unknown connectivity '[a]'"),
        ("--model.source timm:x --model.width 8", "an option of our own models"),
        ("--model.init runs/x --model.width 8", "model.width cannot be changed"),
    ],
)
def test_options_that_are_not_had(
    words: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    split = words.split(" --")
    flat = [part for word in split for part in f"--{word.removeprefix('--')}".split(" ", 1)]
    assert said in error_of(flat, capsys)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: toy\n  hop: 3", "line 3: unknown option 'model.hop'; did you mean 'model.hops'"),
        ("name: toy\n  options:\n    hop: 3", "line 4: unknown option 'model.options.hop'"),
        ("name: toy\n  hops: 3\n  options: {hops: 3}", "line 4: the key 'model.hops' occurs twice"),
        ("name: toy\n  hops: [3]", "line 3: model.hops: expected a whole number"),
        ("connectivity: {name: plane, short: 1}\n  short: 2", "'model.short' occurs twice"),
        ("connectivity:\n    name: plane\n    shrt: 1", "line 4: .*did you mean"),
        ("connectivity: [plane]", "expected the name of a connectivity, or a mapping"),
        ("connectivity: {name: [plane]}", "expected a word"),
    ],
)
def test_options_of_yaml_that_are_not_had(text: str, said: str, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"model:\n  {text}\n")
    with pytest.raises(ConfigError, match=said):
        read_config(recipe)


RULES = {
    "hyper": {"streams": 3},
    "hacn": {"start": 0.25, "inner": 1.0},
    "plane": {"short": 0.5, "long": [0.5, 1.0], "gates": "learned", "inner": 0.5, "channels": 16},
    "dense": {"channels": 16, "inner": 1.0},
    "acn": {"inner": 1.0, "gates": "fixed"},
    "denseformer": {},
    "detached": {"inner": 1.0},
    "input_fed": {"input": 0.5, "short": 1.0, "long": [0.5, 1.0], "inner": 1.0},
}


@pytest.mark.parametrize("name", RULES)
def test_every_option_of_a_rule_is_reached(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = {"name": name, **RULES[name]}
    recipe = tmp_path / "rule.yaml"
    recipe.write_text(yaml.safe_dump({"model": {"connectivity": wanted}}))
    one_by_one = ["--model.connectivity", name]
    for option, value in RULES[name].items():
        one_by_one += [f"--model.connectivity.{option}", json.dumps(value).strip('"')]
    shortest = wanted if RULES[name] else name
    for words in (
        ["--config", str(recipe)],
        ["--model.connectivity", json.dumps(wanted)],
        one_by_one,
        [*one_by_one[2:], *one_by_one[:2]],
    ):
        assert run_of(words, capsys)["connectivity"] == shortest
    model = ModelConfig(depth=2, connectivity=wanted, options={"width": 16})
    net = build_network(model, ac.load_data(ac.DataConfig()), 0)
    if name == "hyper":
        assert net.trunk.connectivity.streams == 3
    if name == "hacn":
        assert net.trunk.connectivity.gates.values()[0] == [0.25, 0.25]


def test_a_name_keeps_options_and_a_mapping_starts_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "rule.yaml"
    recipe.write_text("model: {connectivity: {name: plane, short: 0.5, inner: 1.0}}\n")
    words = ["--config", str(recipe), "--model.connectivity"]
    assert "'short'" in error_of([*words, "acn"], capsys)
    assert run_of([*words, "{name: acn}"], capsys)["connectivity"] == "acn"
    merged = {"name": "plane", "short": 0.25, "inner": 1.0}
    assert run_of([*words, "{short: 0.25}"], capsys)["connectivity"] == merged
    kept = {"name": "residual", "inner": 1.0}
    short = ["--model.connectivity.short", "null"]
    assert run_of([*words, "residual", *short], capsys)["connectivity"] == kept


OLD = """
model:
  name: vit
  source: null
  init: null
  arguments: {}
  depth: 3
  width: null
  connectivity: plane
  inner: 1.0
  short: 0.5
  long: null
  gates: learned
  channels: null
  patch_size: null
  token_width: null
  heads: 2
  tied: null
"""


def test_files_of_earlier_versions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = tmp_path / "old.yaml"
    recipe.write_text(OLD)
    model = read_config(recipe).model
    assert model.options == {"heads": 2}
    rule = {"name": "plane", "inner": 1.0, "short": 0.5, "gates": "learned"}
    assert model.rule() == rule
    saved = {"runs": [{"fit": {"lr": 1}, "model": yaml.safe_load(OLD)["model"]}]}
    (today,) = settings_of_today(saved)["runs"]
    assert today["model"]["connectivity"] == rule
    assert today["model"]["heads"] == 2
    assert "width" not in today["model"]
    words = ["--model.gates", "tied", "--model.connectivity", "plane", "--model.short", "0.25"]
    assert run_of(words, capsys)["connectivity"] == {
        "name": "plane",
        "gates": "tied",
        "short": 0.25,
    }
    assert run_of(["--model.inner", "1"], capsys)["connectivity"] == {"name": "acn", "inner": 1.0}
    assert run_of(["--model.inner", "null"], capsys)["connectivity"] == "residual"


def test_a_run_of_an_earlier_version_goes_on(tmp_path: Path) -> None:
    words = ["train", *TINY, "--model.depth", "1", "--model.width", "8", "--output"]
    words += [str(tmp_path / "run"), "--model.connectivity", "plane", "--model.inner", "1.0"]
    assert main(words) == 0
    kept = tmp_path / "run" / "config.yaml"
    values = yaml.safe_load(kept.read_text())
    values["model"] |= {"connectivity": "plane", "inner": 1.0, "heads": None, "gates": None}
    kept.write_text(yaml.safe_dump(values))
    seal(kept)
    assert main([*words, "--resume"]) == 0


def test_to_yaml_is_flat_and_read_back() -> None:
    config = RunConfig(
        model=ModelConfig(name="vit", connectivity={"name": "hyper", "streams": 3}).having(heads=2)
    )
    values = yaml.safe_load(to_yaml(config))
    assert values["model"]["heads"] == 2
    assert "options" not in values["model"]
    again = make_config(RunConfig, values)
    assert again.model == config.model


def test_having_sets_and_removes() -> None:
    model = ModelConfig(name="vit").having(heads=2, width=32)
    assert model.having(heads=None).options == {"width": 32}
    assert ModelConfig(name="vit").options == {}
    with pytest.raises(UnknownNameError, match="'head'.*did you mean 'heads'"):
        model.having(head=3)
    for wrong in (3.5, True, "3", [3]):
        with pytest.raises(ConfigError, match=r"model\.heads .* expected a whole number"):
            model.having(heads=wrong)


def test_bounds_hold_for_the_constructor_as_well() -> None:
    with pytest.raises(ConfigError, match="dropout 1 must be a share"):
        ac.models.ViT(dropout=1)
    with pytest.raises(ConfigError, match="weight_std -1"):
        ac.models.Encoder(weight_std=-1)


def test_a_rule_that_fits_into_no_memory() -> None:
    data = ac.load_data(ac.DataConfig())
    for rule in (
        {"name": "hyper", "streams": 2**20},
        {"name": "dense", "channels": 2**20},
        {"name": "plane", "gates": "learned", "channels": 2**20},
    ):
        with pytest.raises(ConfigError, match="GiB, and the machine has"):
            build_network(ModelConfig(depth=4096, connectivity=rule), data, 0)


def test_the_constructor_is_recorded_in_its_order() -> None:
    net = Toy(3, hops=2)
    assert list(net.config)[:3] == ["depth", "width", "classes"]
    assert list(net.config)[-1] == "connectivity"
    assert net.config["note"] == "sweet"
    assert not any("recorded" in name for name in vars(net))
