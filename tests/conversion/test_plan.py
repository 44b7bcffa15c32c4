"""What is refused, and why; own networks; what the import pulls in."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import autocompress as ac
from autocompress.cli import main
from autocompress.data import DataConfig
from autocompress.errors import CheckpointError, ConfigError, ConvertError, UnknownNameError
from autocompress.pipeline import ModelConfig, RunConfig, build_for, load_for
from hosts import host


class Layer(nn.Module):
    """x + f(x), of a class that nobody registered."""

    def __init__(self, width: int = 8, out: int | None = None) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.body = nn.Linear(width, out or width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(self.norm(x))


def f(layer: Any, x: Tensor, skip: Any) -> Tensor:
    return ac.add_skip(layer.body(layer.norm(x)), x, skip)


def own(layers: int = 3) -> nn.Module:
    torch.manual_seed(0)
    parts = nn.ModuleDict({"embed": nn.Linear(4, 8), "head": nn.Linear(8, 3)})
    parts["layers"] = nn.Sequential(*(Layer() for _ in range(layers)))

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = parts

        def forward(self, x: Tensor) -> Tensor:
            return self.parts["head"](self.parts["layers"](self.parts["embed"](x)))

    return Net().eval()


def refusal(model: nn.Module, **options: Any) -> str:
    found = ac.plan(model, **options)
    assert not found
    assert not found.stages
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ConvertError) as error:
        ac.convert(model, **options)
    assert found.refusals[0] in str(error.value)
    assert model.state_dict().keys() == before.keys()
    return found.refusals[0]


def test_a_plan_tells_and_changes_nothing() -> None:
    model = host("timm-vit")
    before = [type(m) for m in model.modules()]
    found = ac.plan(model)
    assert found
    assert found.depth == 4
    assert found.stages[0].branches == 2
    assert "blocks" in str(found)
    assert "registered" in str(found)
    assert [type(m) for m in model.modules()] == before


def test_stages_of_a_stage_wise_network() -> None:
    found = ac.plan(host("timm-swin"))
    assert [stage.path for stage in found.stages] == [f"layers.{i}.blocks" for i in range(4)]
    assert [stage.depth for stage in found.stages] == [1, 2, 1, 1]


def test_wrapped_networks_are_refused() -> None:
    model = host("timm-vit")
    assert "convert its .module" in refusal(nn.DataParallel(model))
    assert "compile the result" in refusal(torch.compile(model))
    assert "has its trunk already" in ac.plan(ac.convert(model).model).refusals[0]
    for net in (ac.convert(model), ac.models.MLP(depth=2, width=8)):
        assert "net.set_connectivity(RULE)" in refusal(net)


def test_unknown_layers_are_refused_without_a_word_on_them() -> None:
    text = refusal(own())
    assert "parts.layers of Layer" in text
    assert "example=" in text
    assert "branches=" in text


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("parts.layer", "no module 'parts.layer'; did you mean 'parts.layers'?"),
        ("parts.embed", "'parts.embed' is a Linear, not a list of layers"),
    ],
)
def test_paths_that_name_no_list(path: str, message: str) -> None:
    assert message in refusal(own(), blocks=path, branches=f)


def test_a_list_is_converted_whole_or_not_at_all() -> None:
    model = own()
    model.parts["layers"].append(nn.Linear(8, 8))
    assert "mixes layers of several classes (Layer, Linear)" in refusal(
        model, blocks="parts.layers", branches=f
    )


def test_two_lists_need_a_choice() -> None:
    both = nn.ModuleDict({"a": host("timm-vit"), "b": host("hf-bert")})
    text = refusal(both)
    assert "a.blocks" in text
    assert "b.bert.encoder.layer" in text
    assert "blocks=" in text


def test_own_networks_by_branches() -> None:
    model, x = own(), torch.randn(5, 4)
    net = ac.convert(model, "residual", blocks="parts.layers", branches=f, example=x)
    assert torch.equal(net(x), model(x))
    acn = ac.convert(model, "acn", blocks="parts.layers", branches=[f])
    h = model.parts["embed"](x)
    total = h
    for layer in model.parts["layers"]:
        h = layer.body(layer.norm(h))
        total = total + h
    torch.testing.assert_close(acn(x), model.parts["head"](total))


def test_shapes_that_change_between_layers() -> None:
    class Wider(Layer):
        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.pad(x, (0, self.body.out_features - x.shape[-1])) + self.body(x)

    def padded(layer: Any, x: Tensor, skip: Any) -> Tensor:
        wide = nn.functional.pad(x, (0, layer.body.out_features - x.shape[-1]))
        return ac.add_skip(layer.body(x), wide, skip)

    layers = nn.Sequential(Wider(8), Wider(8, 12), Wider(12))
    model = nn.Sequential(nn.Linear(4, 8), layers, nn.Linear(12, 3))
    text = refusal(model, blocks="1", branches=padded, example=torch.randn(5, 4))
    assert "1.1 turns (5, 8) into (5, 12)" in text


def test_wrong_branches_are_found_out_on_the_example() -> None:
    def wrong(layer: Any, x: Tensor, skip: Any) -> Tensor:
        return ac.add_skip(layer.body(x), x, skip)

    with pytest.raises(ConvertError, match="computes something else: its output differs by"):
        ac.convert(own(), blocks="parts.layers", branches=wrong, example=torch.randn(5, 4))


def test_own_networks_by_graph_and_through_a_folder(tmp_path: Path) -> None:
    model, x = own(), torch.randn(5, 4)
    assert ac.plan(model, example=x).stages[0].route == "graph"
    net = ac.convert(model, "acn", example=x)
    by_hand = ac.convert(model, "acn", blocks="parts.layers", branches=f)
    assert torch.equal(net(x), by_hand(x))
    small = ac.cut(net, 2)
    ac.save(small, tmp_path / "net")
    with pytest.raises(CheckpointError, match="not ours to build"):
        ac.load(tmp_path / "net")
    again = ac.load(tmp_path / "net", model=ac.convert(own(), example=x))
    assert torch.equal(again(x), small(x))
    assert small.example(3).shape == (3, 4)


def test_names_that_nobody_has() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'bert'"):
        ac.convert("hf:brt")
    with pytest.raises(UnknownNameError, match="did you mean 'vit_tiny_patch16_224'"):
        ac.convert("timm:vit_tiny_patch16_22")
    with pytest.raises(ConfigError, match="neither 'timm:NAME' nor 'hf:NAME'"):
        ac.convert("bert")
    with pytest.raises(ConfigError, match="cannot build"):
        ac.convert("timm:vit_tiny_patch16_224", arguments={"dpth": 3})


# -- on the command line ---------------------------------------------------------------------------


def test_acn_plan(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "timm:vit_tiny_patch16_224"]) == 0
    assert "12" in capsys.readouterr().out
    assert main(["plan", "hf:bert"]) == 0
    assert "encoder.layer" in capsys.readouterr().out
    assert main(["plan", "timm:resnet18"]) == 2
    found = capsys.readouterr()
    assert "Refused" in found.out
    assert "cannot be converted" in found.err


def test_a_class_that_transformers_cannot_import(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own module is missing something: no traceback, and the reason."""
    import transformers

    def missing(config: Any) -> nn.Module:
        raise ModuleNotFoundError("Could not import module") from RuntimeError("no operator nms")

    monkeypatch.setattr(transformers.AutoModel, "from_config", missing)
    with pytest.raises(ConfigError, match=r"cannot build 'bert': Could not .* \(no operator nms\)"):
        ac.convert("hf:bert")


def test_acn_convert(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = '{"img_size": 16, "patch_size": 4, "embed_dim": 16, "num_heads": 2, "depth": 3}'
    words = ["convert", "timm:vit_tiny_patch16_224", "--arguments", arguments]
    assert main([*words, "--output", str(tmp_path / "net")]) == 0
    assert "3 layers, connectivity acn" in capsys.readouterr().out
    assert (
        main(["cut", str(tmp_path / "net"), "--depth", "1", "--output", str(tmp_path / "s")]) == 0
    )
    assert ac.load(tmp_path / "s").depth == 1
    assert main([*words, "--output", str(tmp_path / "net")]) == 2
    assert "exists" in capsys.readouterr().err


@pytest.mark.slow
def test_acn_compress_of_a_source(tmp_path: Path) -> None:
    arguments = '{"patch_size": 4, "embed_dim": 16, "num_heads": 2, "depth": 2}'
    words = ["compress", "--data.name", "digits", "--data.train_limit", "128"]
    words += ["--model.source", "timm:vit_tiny_patch16_224", "--model.arguments", arguments]
    words += ["--fit.epochs", "1", "--output", str(tmp_path / "run")]
    assert main(words) == 0
    report = (tmp_path / "run" / "report.html").read_text()
    assert "vit_tiny_patch16_224" in report
    assert ac.load(tmp_path / "run" / "small").config["source"] == "timm:vit_tiny_patch16_224"


def test_acn_compress_refuses_what_is_no_classifier(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["compress", "--data.name", "digits", "--model.source", "hf:vit"]
    words += ["--model.arguments", '{"patch_size": 4}', "--output", str(tmp_path / "run")]
    assert main(words) == 2
    assert "not a classifier" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    words[4] = "timm:vit_tiny_patch16_224"
    assert main([*words, "--model.width", "64"]) == 2
    assert "option of our own models" in capsys.readouterr().err


def pretrained_by_convert(source: str) -> None:
    arguments = {"pretrained": True} if source.startswith("timm") else {}
    ac.convert(source, "residual", arguments=arguments)


def pretrained_in_a_run(source: str) -> None:
    data = DataConfig(name="digits", train_limit=100)
    run = RunConfig(model=ModelConfig(init=source), data=data)
    build_for(run, load_for(run))


@pytest.mark.parametrize("source", ["timm:vit_tiny_patch16_224", "hf:nobody/bert"])
@pytest.mark.parametrize("ask", [pretrained_by_convert, pretrained_in_a_run])
def test_a_hub_out_of_reach_is_said_with_what_works_without_it(
    source: str, ask: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ConfigError, match="hub could not be reached.*without one, name a folder"):
        ask(source)


@pytest.mark.parametrize("blocks", [[], (), ["parts.layers"] * 2])
def test_paths_of_no_list_or_of_one_list_twice_are_refused(blocks: Any) -> None:
    words = "must name a list of layers, or several different ones"
    assert words in refusal(own(), blocks=blocks, branches=f, example=torch.randn(2, 4))


class Stage(nn.Module):
    """Layers, and then a step to another width."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(Layer(width), Layer(width))
        self.down = nn.Linear(width, out)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.blocks(x))


def test_stages_that_are_no_layers_name_the_lists_inside_them() -> None:
    torch.manual_seed(0)
    stages = nn.Sequential(Stage(4, 6), Stage(6, 8))
    model = nn.Sequential(nn.Linear(3, 4), stages, nn.Linear(8, 2)).eval()
    x = torch.randn(5, 3)
    said = refusal(model, example=x)
    assert "changes the shape, (5, 4) to (5, 6)" in said
    assert "Each Stage holds a list of layers itself" in said
    inner = ["1.0.blocks", "1.1.blocks"]
    assert said.endswith(f"blocks={inner}")
    net = ac.convert(model, "residual", example=x, blocks=inner)
    assert net.depth == 4
    assert torch.equal(net(x), model(x))
