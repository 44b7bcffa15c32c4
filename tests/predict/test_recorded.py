"""What a model folder records of its inputs and outputs, and whom it reaches."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch

import autocompress as ac
import hosts
from autocompress.data import DataConfig
from autocompress.data.image_input import ImageInput
from autocompress.errors import CheckpointError, ConfigError
from texts import write_sentences

PIXELS = {"size": [16, 16], "channels": 3, "resize": True, "interpolation": "bilinear"}


def said(folder: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((folder / "config.json").read_text())
    return config


def test_training_records_what_the_data_say(tmp_path: Path) -> None:
    data = ac.load_data(DataConfig(name="digits", classes=(3, 5, 8), train_limit=64))
    net = ac.models.MLP(depth=2, width=8, classes=3, image_size=8, channels=1)
    ac.fit(net, data.to("cpu").train, data.validation, ac.FitConfig(epochs=1), progress=False)
    ac.prune(net, 0.5)
    ac.save(ac.cut(net, 1), tmp_path / "small")
    config = said(tmp_path / "small")
    assert config["class_names"] == ["3", "5", "8"]
    assert (config["task"], config["objective"]) == ("image", "classification")
    picture = {"size": [8, 8], "channels": 1, "resize": False, "interpolation": "bilinear"}
    assert picture.items() <= config["preprocess"].items()
    assert config["preprocess"] == data.preprocess
    loaded = ac.load(tmp_path / "small")
    assert (loaded.class_names, loaded.task) == (["3", "5", "8"], "image")
    loaded.save_pretrained(tmp_path / "again")
    assert said(tmp_path / "again")["class_names"] == ["3", "5", "8"]


def test_a_network_of_texts_keeps_tokenizer_and_names(tmp_path: Path) -> None:
    pytest.importorskip("tokenizers")
    task = DataConfig(
        name=str(write_sentences(tmp_path)), task="text-classification", length=16, train_limit=40
    )
    data = ac.load_data(task)
    net = ac.models.Encoder(depth=1, width=8, heads=1, **data.arguments)
    ac.fit(net, data.train, config=ac.FitConfig(epochs=1), progress=False)
    assert net.class_names == data.classes == ["0", "1"]
    assert net.tokenizer == data.tokenizer.text
    assert net.task == "text-classification"


def test_other_labels_lose_their_names() -> None:
    data = ac.load_data(DataConfig(train_limit=20)).train
    assert data.select(torch.arange(3)).meaning is not None
    assert data.relabelled(data.labels.flip(0)).meaning is None


def test_each_task_of_a_stream_has_its_own_names() -> None:
    tasks = ac.continual.split_classes(ac.load_data(DataConfig(train_limit=100)), 5)[1:3]
    net = ac.models.MLP(depth=1, width=8, classes=2)
    stream = ac.continual.learn(net, tasks, ac.FitConfig(epochs=1))
    names = [stream.network(net, task).class_names for task in (0, 1)]
    assert names == [["2", "3"], ["4", "5"]]


def test_a_new_head_has_no_names_of_the_old_one() -> None:
    timm = pytest.importorskip("timm")
    options = {"img_size": 16, "patch_size": 8, "embed_dim": 8, "depth": 1, "num_heads": 1}
    net = ac.convert(timm.create_model("vit_tiny_patch16_224", num_classes=2, **options))
    net.class_names = ["no", "yes"]
    host: Any = net.model
    host.reset_classifier(3)
    assert net.class_names is None


def test_names_that_do_not_fit_the_outputs_are_not_recorded() -> None:
    net = ac.models.MLP(depth=1, width=4, classes=4, image_size=8, channels=1)
    ac.load_data(DataConfig(train_limit=20)).meaning.tell(net)
    assert net.class_names is None


def test_timm_reads_our_pixels_and_names_in_its_own_record(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    options = {"img_size": 16, "patch_size": 4, "embed_dim": 16, "depth": 2, "num_heads": 2}
    host = timm.create_model("vit_tiny_patch16_224", num_classes=3, **options)
    net = ac.convert(host, connectivity="residual")
    known: Any = net.model
    assert known.pretrained_cfg["input_size"] == (3, 16, 16)
    assert known.pretrained_cfg["num_classes"] == 3
    mean, std = [51.0, 102.0, 153.0], [51.0, 51.0, 102.0]
    net.preprocess = {"scale": 1.0, "mean": mean, "std": std, **PIXELS}
    net.class_names = ["ant", "bee", "cat"]
    ac.save(ac.cut(net, 1), tmp_path / "net")
    again: Any = ac.load(tmp_path / "net").model
    record = again.pretrained_cfg
    assert record["mean"] == pytest.approx((0.2, 0.4, 0.6))
    assert record["std"] == pytest.approx((0.2, 0.2, 0.4))
    assert record["label_names"] == ["ant", "bee", "cat"]
    settings = timm.data.resolve_data_config(record)
    assert settings["input_size"] == (3, 16, 16)
    assert (settings["crop_mode"], settings["crop_pct"]) == ("squash", 1.0)
    assert settings["interpolation"] == "bilinear"
    plain: Any = ac.restore(net)
    assert plain.pretrained_cfg["label_names"] == ["ant", "bee", "cat"]


def test_transformers_reads_our_names_in_its_own_record(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    net = ac.convert(hosts.host("hf-distilbert"))
    other = copy.deepcopy(net)
    assert net.class_names is None
    net.class_names = ["dull", "fine"]
    assert other.class_names is None
    ac.save(ac.cut(net, 1), tmp_path / "net")
    again: Any = ac.load(tmp_path / "net").model
    assert again.config.id2label == {0: "dull", 1: "fine"}
    assert again.config.label2id == {"dull": 0, "fine": 1}


def test_names_of_a_host_are_taken_over(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    host: Any = hosts.host("hf-distilbert")
    host.config.id2label = {0: "no", 1: "yes"}
    net = ac.convert(host)
    assert net.class_names == ["no", "yes"]
    ac.save(net, tmp_path / "net")
    assert said(tmp_path / "net")["class_names"] == ["no", "yes"]


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [("class_names", "cat", "not a list of names"), ("task", 3, "not a word")],
)
def test_a_folder_that_records_nonsense_is_refused(
    tmp_path: Path, key: str, value: Any, words: str
) -> None:
    ac.save(ac.models.MLP(depth=1, width=4), tmp_path / "net")
    path = tmp_path / "net" / "config.json"
    path.write_text(json.dumps(said(tmp_path / "net") | {key: value}))
    with pytest.raises(CheckpointError, match=words):
        ac.load(tmp_path / "net")


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": [8]},
        {"size": [8, 10**6]},
        {"size": [8, True]},
        {"channels": 2},
        {"resize": 1},
        {"interpolation": "area"},
    ],
)
def test_pixels_that_no_picture_has_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"preprocess.{next(iter(wrong))}"):
        ImageInput.of(wrong)


@pytest.mark.parametrize("names", [[0, 1, 2], "abc", {"a": 0}, ["a", None, "c"]])
def test_class_names_that_no_reader_expects_are_refused(names: Any, tmp_path: Path) -> None:
    net = ac.models.MLP(depth=1, width=8, classes=3, image_size=2, channels=1)
    net.class_names = names
    with pytest.raises(ConfigError, match="are not a list of texts"):
        ac.save(net, tmp_path / "net")
    assert not (tmp_path / "net").exists()
