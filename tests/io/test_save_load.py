"""Save and load: the same network in another process, and a clear word for every bad folder."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_model, save_file
from torch import nn

import autocompress as ac
from autocompress.errors import (
    CheckpointError,
    ConfigError,
    OutputError,
    UnknownNameError,
)
from autocompress.io.weights import read_weights, write_weights
from folders import edit, forge, rewrite
from models_table import CONNECTIVITIES, MODELS, images, inputs, make


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    ac.save(make("mixer", "learned"), tmp_path / "net")
    return tmp_path / "net"


@pytest.mark.parametrize(
    ("model", "connectivity"),
    [*((model, "hacn") for model in MODELS), *(("mixer", rule) for rule in CONNECTIVITIES)],
)
def test_what_is_loaded_is_what_was_saved(model: str, connectivity: str, tmp_path: Path) -> None:
    net, x = make(model, connectivity), inputs(model)
    net.preprocess = {"scale": 1 / 255, "mean": [0.5], "std": [0.25]}
    for k in (0, 2, net.depth):
        small = net.cut(k)
        ac.save(small, tmp_path / str(k))
        loaded = ac.load(tmp_path / str(k))
        assert type(loaded) is type(net)
        assert not loaded.training
        assert loaded.preprocess == net.preprocess
        assert torch.equal(loaded(x), net(x, depth=k))
        assert loaded.state_dict().keys() == small.state_dict().keys()


def test_the_same_outputs_in_a_new_process(saved: Path, tmp_path: Path) -> None:
    net, x = make("mixer", "learned"), images()
    save_file({"x": x}, tmp_path / "x.safetensors")
    program = f"""
import sys; sys.path[:0] = {sys.path!r}
import autocompress as ac
from safetensors.torch import load_file, save_file
net = ac.load({str(saved)!r})
x = load_file({str(tmp_path / "x.safetensors")!r})["x"]
save_file({{"y": net(x).detach()}}, {str(tmp_path / "y.safetensors")!r})
assert not [m for m in sys.modules if m.partition(".")[0] in ("onnx", "onnxruntime", "onnxscript")]
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=100)
    with safe_open(tmp_path / "y.safetensors", framework="pt") as file:
        assert torch.equal(file.get_tensor("y"), net(x))


def test_config_json_is_flat_and_says_what_it_is(saved: Path) -> None:
    text = (saved / "config.json").read_text()
    config = json.loads(text)
    assert list(config) == sorted(config)
    assert config["format"] == 2
    assert config["library"] == "autocompress"
    assert config["model"] == "mixer"
    assert config["preprocess"] is None
    assert (config["depth"], config["width"], config["classes"]) == (4, 8, 3)
    assert len(config["sha256"]) == 64
    assert sorted(p.name for p in saved.iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
    ]


def test_config_json_has_the_gates_as_they_are_now(tmp_path: Path) -> None:
    net = make("mlp", "scheduled")
    net.trunk.connectivity.move(0.0, 1.0)  # type: ignore[operator]
    ac.save(net, tmp_path / "net")
    config = json.loads((tmp_path / "net" / "config.json").read_text())
    assert config["connectivity"]["long"] == [1.0] * 4
    assert torch.equal(ac.load(tmp_path / "net")(images()), net(images()))


def test_loading_keeps_dtype_and_random_numbers(tmp_path: Path) -> None:
    net = make("vit", "hacn").to(torch.bfloat16)
    ac.save(net, tmp_path / "net")
    state = torch.get_rng_state()
    loaded = ac.load(tmp_path / "net")
    assert torch.equal(state, torch.get_rng_state())
    assert {p.dtype for p in loaded.parameters()} == {torch.bfloat16}
    assert all(p.requires_grad for p in loaded.parameters())
    assert ac.load(tmp_path / "net", "meta").stem.embed.weight.is_meta


def test_tied_and_overlapping_tensors(tmp_path: Path) -> None:
    def net() -> nn.Module:
        made = nn.ModuleDict({"a": nn.Linear(4, 4), "b": nn.Linear(4, 4), "c": nn.Linear(2, 4)})
        made["b"].weight = made["a"].weight
        made["c"].weight.data = made["a"].weight.data[:, :2]  # not contiguous, a part of another
        return made

    first, path = net(), tmp_path / "w.safetensors"
    write_weights(first, path)
    with safe_open(path, framework="pt") as file:
        assert sorted(file.keys()) == ["a.bias", "a.weight", "b.bias", "c.bias", "c.weight"]
    second = net()
    read_weights(second, path)
    assert second["b"].weight is second["a"].weight
    for name, tensor in first.state_dict().items():
        assert torch.equal(second.state_dict()[name], tensor)


def test_safetensors_own_loader_reads_tied_weights(tmp_path: Path) -> None:
    first, second = (nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)) for _ in range(2))
    first[1].weight, second[1].weight = first[0].weight, second[0].weight
    write_weights(first, tmp_path / "w.safetensors")
    load_model(second, tmp_path / "w.safetensors")
    assert torch.equal(second[1].weight, first[0].weight)


# -- folders that exist or cannot be written ------------------------------------------------------


def test_a_folder_that_exists(saved: Path) -> None:
    net = make("mlp", "acn")
    with pytest.raises(OutputError, match="overwrite=True"):
        ac.save(net, saved)
    ac.save(net, saved, overwrite=True)
    assert isinstance(ac.load(saved), ac.models.MLP)
    (saved / "thesis.tex").write_text("years of work")
    with pytest.raises(OutputError, match=r"thesis\.tex"):
        ac.save(net, saved, overwrite=True)
    assert (saved / "thesis.tex").exists()


def test_no_space_left(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from safetensors import SafetensorError

    def full(tensors: Any, path: Path, metadata: Any) -> None:
        Path(path).write_bytes(b"half")
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(sys.modules["autocompress.io.weights"], "save_file", full)
    target = saved.parent / "other" / "net"
    with pytest.raises(OutputError, match="no space left") as caught:
        ac.save(make("mlp", "acn"), target)
    assert str(target / "model.safetensors") in str(caught.value)
    with pytest.raises(OutputError, match="nothing was written"):
        ac.save(make("mlp", "acn"), saved, overwrite=True)
    assert [p.name for p in saved.parent.iterdir()] == ["net"]
    assert isinstance(ac.load(saved), ac.models.Mixer)
    assert caught.value.__cause__.__cause__.errno == errno.ENOSPC  # type: ignore[union-attr]


def test_an_option_named_as_one_of_our_keys(tmp_path: Path) -> None:
    net = make("mlp", "acn")
    net.config["version"] = 3
    with pytest.raises(ConfigError, match="'version'"):
        ac.save(net, tmp_path / "net")
    assert list(tmp_path.iterdir()) == []


# -- folders that cannot be read ------------------------------------------------------------------


def test_files_that_are_missing(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"nowhere is not a saved network.*config\.json"):
        ac.load(tmp_path / "nowhere")
    (saved / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"model\.safetensors is missing"):
        ac.load(saved)


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_weights_that_are_truncated(saved: Path, keep: int) -> None:
    data = (saved / "model.safetensors").read_bytes()
    (saved / "model.safetensors").write_bytes(data[:keep])
    with pytest.raises(CheckpointError, match="truncated or damaged"):
        ac.load(saved)


def test_one_altered_byte(saved: Path) -> None:
    data = bytearray((saved / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (saved / "model.safetensors").write_bytes(data)
    with pytest.raises(CheckpointError, match="altered since it was saved"):
        ac.load(saved)
    edit(saved, format=1, sha256=None)  # as in a folder of an earlier version; the other hash stays
    with pytest.raises(CheckpointError, match="altered since the network was saved"):
        ac.load(saved)
    rewrite(saved, metadata={})
    ac.load(saved)


@pytest.mark.parametrize("text", ['{"format": 1, "mod', "", "[1]", "3", "\x00", '{"depth": 2}'])
def test_a_config_that_is_broken(saved: Path, text: str) -> None:
    (saved / "config.json").write_text(text)
    with pytest.raises(
        CheckpointError, match=r"config\.json (is truncated|was not written by autocompress)"
    ):
        ac.load(saved)


@pytest.mark.parametrize("version", [3, 0, None, "1", True, 10**99])
def test_a_format_that_is_not_ours(saved: Path, version: Any) -> None:
    edit(saved, format=version)
    with pytest.raises(CheckpointError, match=r"has format .* reads 1"):
        ac.load(saved)


def test_a_format_of_hundreds_of_digits(saved: Path) -> None:
    edit(saved, format=10**400)
    with pytest.raises(CheckpointError, match=r"config\.json is .*a number of 401 digits"):
        ac.load(saved)


def test_names_that_are_unknown(saved: Path) -> None:
    forge(saved, model="mixr")
    with pytest.raises(UnknownNameError, match="unknown model 'mixr'; did you mean 'mixer'"):
        ac.load(saved)
    forge(saved, model="mixer", connectivity="acm")
    with pytest.raises(UnknownNameError, match="unknown connectivity 'acm'; did you mean 'acn'"):
        ac.load(saved)


@pytest.mark.parametrize(
    "changes", [{"patch_size": 3}, {"depth": "deep"}, {"depth": 3}, {"width": -1}, {"pool": {}}]
)
def test_a_config_that_describes_no_network(saved: Path, changes: dict[str, Any]) -> None:
    forge(saved, **changes)
    with pytest.raises(CheckpointError, match="does not describe a mixer"):
        ac.load(saved)


def test_weights_of_another_model(saved: Path) -> None:
    forge(saved, width=6)
    with pytest.raises(CheckpointError, match=r"another model: .* there and .* here"):
        ac.load(saved)
    forge(saved, model="mlp", width=8)
    with (
        pytest.warns(UserWarning, match="end_stage"),
        pytest.raises(CheckpointError, match=r"is missing; .* and \d+ more"),
    ):
        ac.load(saved)


def test_options_of_a_newer_version_are_left_out_with_one_warning(saved: Path) -> None:
    forge(saved, wings=2, rotor="big", version="9.0")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        net = ac.load(saved)
    (warning,) = (str(w.message) for w in caught)
    assert "saved by version 9.0" in warning
    assert warning.endswith("does not know: left out rotor, wings")
    assert caught[0].filename == __file__
    assert torch.equal(net(images()), make("mixer", "learned")(images()))


def test_the_same_network_is_the_same_file(tmp_path: Path) -> None:
    net = ac.models.MLP(depth=1, width=4, classes=3, image_size=2, channels=1)
    for number in range(8):  # safetensors itself puts the metadata in a random order
        ac.save(net, tmp_path / str(number))
    files = {(tmp_path / str(n) / "model.safetensors").read_bytes() for n in range(8)}
    assert len(files) == 1


def test_a_card_shows_class_names_as_they_are(tmp_path: Path) -> None:
    net = ac.models.MLP(depth=1, width=8, classes=22, image_size=2, channels=1)
    net.class_names = ["<b>a_b</b>", *map(str, range(21))]
    ac.save(net, tmp_path / "net")
    (line,) = [x for x in (tmp_path / "net/README.md").read_text().splitlines() if "classes" in x]
    assert line.startswith(r"- classes: \<b\>a\_b\</b\>, 0, 1, ")
    assert line.endswith(", 18, and 2 more")


def test_a_card_of_the_user_is_kept_and_ours_is_written_anew(tmp_path: Path) -> None:
    folder = tmp_path / "net"
    ac.save(make("mlp", "acn"), folder)
    first = (folder / "README.md").read_bytes()
    ac.save(make("mlp", "residual"), folder, overwrite=True)
    assert b"residual" in (folder / "README.md").read_bytes() != first
    own = (folder / "README.md").read_text().replace("# mlp", "# My mlp")
    for text in (own, own.removesuffix("-->\n"), "mine\n", ""):
        (folder / "README.md").write_text(text)
        (folder / "depth.png").write_bytes(b"a picture of it")
        ac.save(make("mlp", "acn"), folder, overwrite=True)
        assert (folder / "README.md").read_text() == text
        assert (folder / "depth.png").read_bytes() == b"a picture of it"
        assert ac.load(folder).rule() == "acn"
    (folder / "README.md").write_bytes(b" " * (2**20 + 1))
    with pytest.raises(CheckpointError, match="more than 1 MiB"):
        ac.save(make("mlp", "acn"), folder, overwrite=True)


@pytest.mark.parametrize("name", ["tokenizer_config.json", "preprocessor_config.json"])
def test_a_file_of_the_user_for_transformers_is_not_deleted(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "net"
    ac.save(make("mlp", "acn"), folder)
    (folder / name).write_text("{}")
    for _ in range(2):
        with pytest.raises(OutputError, match=f"{name}, which is not part of a saved network"):
            ac.save(make("mlp", "acn"), folder, overwrite=True)
        assert (folder / name).read_text() == "{}"
        (folder / "config.json").unlink(missing_ok=True)  # and then there is no network of ours


def test_a_network_of_transformers_is_not_deleted(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(OutputError, match=r"holds config\.json, which is not part"):
        ac.save(make("mlp", "acn"), tmp_path, overwrite=True)


def test_a_tokenizer_of_the_user_is_not_deleted(tmp_path: Path) -> None:
    ac.save(make("mlp", "acn"), tmp_path / "net")
    own = tmp_path / "net" / "tokenizer.json"
    own.write_text("{}")
    with pytest.raises(OutputError, match=r"tokenizer\.json, which is not part of a saved network"):
        ac.save(make("mlp", "acn"), tmp_path / "net", overwrite=True)
    assert own.read_text() == "{}"
    texts = make("encoder", "acn")
    texts.tokenizer = "{}"
    ac.save(texts, tmp_path / "net", overwrite=True)  # the same tokenizer stays
    ac.save(make("mlp", "acn"), tmp_path / "net", overwrite=True)  # and is now the network's
    assert not own.exists()
