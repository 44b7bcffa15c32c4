"""PyTorchModelHubMixin: save_pretrained and from_pretrained, without a network."""

from __future__ import annotations

from pathlib import Path

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


def test_saving_twice_into_one_folder(tmp_path: Path) -> None:
    make("mixer", "acn").save_pretrained(tmp_path)
    make("mixer", "acn").cut(2).save_pretrained(tmp_path)
    assert ac.models.Mixer.from_pretrained(tmp_path).depth == 2
    ac.save(make("mixer", "acn"), tmp_path, overwrite=True)  # the model card is ours, too
    assert ac.load(tmp_path).depth == 4


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
