"""PyTorchModelHubMixin: save_pretrained and from_pretrained, without a network."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import huggingface_hub
import pytest
import torch

import autocompress as ac
from autocompress.errors import CheckpointError, ConfigError, UnknownNameError
from autocompress.io.saving import load_pretrained
from models_table import images, make


@pytest.mark.parametrize("connectivity", ["acn", "per-layer", "learned"])
def test_round_trip(connectivity: str, tmp_path: Path) -> None:
    net, x = make("mixer", connectivity), images()
    for k in (0, 3, 4):
        net.cut(k).save_pretrained(tmp_path / str(k))
        for cls in (ac.models.Mixer, ac.Network):
            loaded = cls.from_pretrained(tmp_path / str(k))
            assert type(loaded) is ac.models.Mixer
            assert not loaded.training
            assert torch.equal(loaded(x), net(x, depth=k))
        loaded.save_pretrained(tmp_path / f"{k} again")
        assert torch.equal(ac.load(tmp_path / f"{k} again")(x), net(x, depth=k))
    assert "library_name: autocompress" in (tmp_path / "3" / "README.md").read_text()


class Hub:
    """A stand-in for huggingface_hub.HfApi: it keeps what is uploaded."""

    files: ClassVar[dict[str, bytes]] = {}

    def __init__(self, **options: object) -> None:
        pass

    def create_repo(self, repo_id: str, **options: object) -> SimpleNamespace:
        return SimpleNamespace(repo_id=repo_id)

    def upload_folder(self, folder_path: Path, **options: object) -> str:
        self.files.update({path.name: path.read_bytes() for path in folder_path.iterdir()})
        return "address"


@pytest.mark.parametrize("way", ["push", "save and push", "without a curve"])
def test_the_card_on_the_hub_shows_the_depth_curve(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.hub_mixin.HfApi", Hub)
    monkeypatch.setattr(Hub, "files", {})
    net, labels = make("mixer", "acn"), torch.arange(4) % 3
    curve = ac.probe(net, (images(4), labels))
    if way == "push":
        assert net.cut(2).push_to_hub("user/net", curve=curve) == "address"
    elif way == "save and push":
        net.save_pretrained(tmp_path / "net", curve=curve, push_to_hub=True, repo_id="user/net")
        assert {path.name for path in (tmp_path / "net").iterdir()} == set(Hub.files)
    else:
        net.push_to_hub("user/net", private=True)
    card = Hub.files["README.md"].decode()
    has = way != "without a curve"
    assert ("](depth.png)" in card) is ("depth.png" in Hub.files) is has
    if has:
        assert Hub.files["depth.png"].startswith(b"\x89PNG")
        assert f"| 4 | {100 * curve.scores[4]:.2f} |" in card
    assert {"config.json", "model.safetensors"} <= set(Hub.files)


def test_saving_with_a_curve_and_again_without(tmp_path: Path) -> None:
    net = make("mlp", "acn")
    curve = ac.probe(net, (images(4), torch.arange(4) % 3))
    ac.save(net, tmp_path / "net", curve=curve)
    assert (tmp_path / "net" / "depth.png").is_file()
    ac.save(net, tmp_path / "net", overwrite=True)  # the picture is ours
    assert not (tmp_path / "net" / "depth.png").exists()
    assert "depth.png" not in (tmp_path / "net" / "README.md").read_text()


def test_saving_twice_into_one_folder(tmp_path: Path) -> None:
    make("mixer", "acn").save_pretrained(tmp_path)
    make("mixer", "acn").cut(2).save_pretrained(tmp_path)
    assert ac.models.Mixer.from_pretrained(tmp_path).depth == 2
    ac.save(make("mixer", "acn"), tmp_path, overwrite=True)  # the model card is ours, too
    assert ac.load(tmp_path).depth == 4


def test_a_card_of_ours_follows_the_network(tmp_path: Path) -> None:
    net, card = make("mlp", "acn"), tmp_path / "README.md"
    curve = ac.probe(net, (images(4), torch.arange(4) % 3))
    net.save_pretrained(tmp_path, curve=curve)
    net.cut(2).save_pretrained(tmp_path)
    assert "- depth: 2 layers" in card.read_text()
    assert not (tmp_path / "depth.png").exists()
    net.cut(1).save_pretrained(tmp_path, curve=curve)
    assert "- depth: 1 layer\n" in card.read_text()
    assert (tmp_path / "depth.png").exists()
    card.write_text(card.read_text() + "of mine")
    net.save_pretrained(tmp_path, curve=curve)
    assert card.read_text().endswith("of mine")


def test_the_callers_options_win(tmp_path: Path) -> None:
    make("mixer", "acn").save_pretrained(tmp_path)
    net = ac.models.Mixer.from_pretrained(tmp_path, dropout=0.5, map_location="meta")
    assert net.config["dropout"] == 0.5
    assert net.head.classifier.weight.is_meta
    with pytest.raises(UnknownNameError, match="did you mean 'dropout'"):
        ac.models.Mixer.from_pretrained(tmp_path, dropuot=0.5)
    with pytest.raises(CheckpointError, match="another model"):
        ac.models.Mixer.from_pretrained(tmp_path, classes=7)


def test_a_folder_of_another_class(tmp_path: Path) -> None:
    make("mlp", "acn").save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="holds a MLP, not a Mixer"):
        ac.models.Mixer.from_pretrained(tmp_path)


def test_hub_options_reach_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make("mlp", "acn").save_pretrained(tmp_path)
    asked = {}

    def download(repo: str, **options: object) -> str:
        asked.update(options, repo=repo)
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    hub = {
        "revision": "v1",
        "cache_dir": None,
        "force_download": False,
        "local_files_only": True,
        "token": False,
    }
    assert load_pretrained("user/net", hub).depth == 4
    patterns = ["config.json", "model.safetensors", "tokenizer.json"]
    assert asked == {**hub, "repo": "user/net", "allow_patterns": patterns}


@pytest.mark.parametrize("name", ["nobody/nothing", "runs/a/typo", "no such model"])
def test_what_is_neither_a_folder_nor_on_the_hub(name: str, tmp_path: Path) -> None:
    hub = {"local_files_only": True, "cache_dir": tmp_path}
    with pytest.raises(CheckpointError, match="neither a folder nor a model"):
        load_pretrained(name, hub)
    with pytest.raises(CheckpointError, match="neither a folder nor a model"):
        ac.Network.from_pretrained(name, **hub)


def test_a_network_that_is_refused_leaves_no_card(tmp_path: Path) -> None:
    net, labels = make("mixer", "acn"), torch.arange(4) % 3
    curve = ac.probe(net, (images(4), labels))
    net.class_names = [1, 2, 3]  # type: ignore[list-item]
    with pytest.raises(ConfigError, match="class"):
        net.save_pretrained(tmp_path / "net", curve=curve)
    assert list(tmp_path.rglob("*.*")) == []


@pytest.mark.parametrize(
    ("connectivity", "said"),
    [("acn", "An Auto-Compressing Network"), ("residual", "A residual network whose every depth")],
)
def test_the_card_says_which_kind_of_network_it_is(
    connectivity: str, said: str, tmp_path: Path
) -> None:
    ac.save(make("mixer", connectivity), tmp_path / "net")
    card = (tmp_path / "net" / "README.md").read_text()
    assert f"\n{said}" in card
    assert f"pip install .  # in a checkout of autocompress, version {ac.__version__}" in card
