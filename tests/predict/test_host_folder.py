"""A converted network as a folder that its host's library opens, with the same answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import autocompress as ac
import hosts
from autocompress.cli import main
from autocompress.data import DataConfig
from autocompress.errors import ConfigError
from texts import write_sentences

transformers = pytest.importorskip("transformers")
timm = pytest.importorskip("timm")

TEXTS = ["good film", "dull plot and awful music", "a lovely voice"]


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A residual BERT that knows its tokenizer and classes, as training leaves it."""
    home = tmp_path_factory.mktemp("sentences")
    data: Any = ac.load_data(
        DataConfig(name=str(write_sentences(home, 60)), task="text-classification", length=48)
    )
    config = transformers.BertConfig(
        vocab_size=data.tokenizer.size, hidden_size=16, num_hidden_layers=3, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=48, pad_token_id=0, num_labels=2,
    )  # fmt: skip
    torch.manual_seed(0)
    net = ac.convert(transformers.BertForSequenceClassification(config).eval(), "residual")
    net.preprocess = data.preprocess
    data.meaning.tell(net)
    net.class_names = ["bad", "good"]
    return net


@pytest.mark.parametrize("rule", ["residual", "acn"])
def test_a_pipeline_answers_as_we_do(reader: Any, rule: str, tmp_path: Path) -> None:
    net = ac.cut(reader, 2)
    net.set_connectivity(rule)
    ac.save_host(net, tmp_path / "net")
    run = transformers.pipeline("text-classification", model=str(tmp_path / "net"))
    for text in [*TEXTS, "good film " * 60]:
        if len(text) > 100:
            with pytest.warns(UserWarning, match="cut"):
                ours = net.predict(text)
        else:
            ours = net.predict(text)
        (theirs,) = run(text, truncation=True)
        assert theirs["label"] == ours.label
        assert theirs["score"] == pytest.approx(ours.probability, abs=1e-5)
    auto = transformers.AutoModelForSequenceClassification
    assert auto.from_pretrained(tmp_path / "net").config.num_hidden_layers == 2


def test_a_residual_one_opens_without_us(reader: Any, tmp_path: Path) -> None:
    net = ac.cut(reader, 1)
    ac.save_host(net, tmp_path / "net")
    assert sorted(path.name for path in (tmp_path / "net").iterdir()) == [
        *("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"),
    ]
    program = f"""
import sys, json
sys.modules["autocompress"] = None
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
import conftest  # lets torchvision import
from transformers import pipeline
run = pipeline("text-classification", model={str(tmp_path / "net")!r})
print(json.dumps(run({TEXTS!r})))
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True,
        timeout=300, env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    theirs = json.loads(done.stdout.splitlines()[-1])
    for one, other in zip(net.predict(TEXTS), theirs, strict=True):
        assert other["label"] == one.label
        assert other["score"] == pytest.approx(one.probability, abs=1e-5)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    noise = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    return tmp_path / "noise.png"


PIXELS = ac.data.ImageInput(
    mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4), size=(16, 16), channels=3, resize=True
).to_json()
NAMES = ["ant", "bee", "cat", "dog", "eel"]


def test_a_pipeline_of_pictures(picture: Path, tmp_path: Path) -> None:
    net = ac.cut(ac.convert(hosts.host("hf-vit"), "residual"), 2)
    net.preprocess, net.class_names = PIXELS, NAMES
    ac.save_host(net, tmp_path / "net")
    said = json.loads((tmp_path / "net" / "preprocessor_config.json").read_text())
    assert said["image_mean"] == [0.4, 0.5, 0.6]
    run = transformers.pipeline("image-classification", model=str(tmp_path / "net"))
    ours = net.predict(picture)
    theirs = run(str(picture))
    assert [row["label"] for row in theirs] == [guess.name for guess in ours.top]
    for row, guess in zip(theirs, ours.top, strict=True):
        assert row["score"] == pytest.approx(guess.probability, abs=1e-4)


@pytest.mark.parametrize("rule", ["residual", "acn"])
@torch.no_grad()
def test_timm_opens_its_folder(rule: str, picture: Path, tmp_path: Path) -> None:
    options = {"img_size": 16, "patch_size": 4, "embed_dim": 16, "depth": 4, "num_heads": 2}
    torch.manual_seed(0)
    host = timm.create_model("vit_tiny_patch16_224", num_classes=5, **options).eval()
    net = ac.cut(ac.convert(host, rule), 3)
    net.preprocess, net.class_names = PIXELS, NAMES
    ac.save(net, tmp_path / "ours")
    assert main(["export", str(tmp_path / "ours"), "--output", str(tmp_path / "net")]) == 0
    config = json.loads((tmp_path / "net" / "config.json").read_text())
    plain = "vit_tiny_patch16_224"
    assert config["architecture"] == (plain if rule == "residual" else f"acn_{plain}")
    assert config["label_names"] == NAMES
    again = timm.create_model(f"local-dir:{tmp_path / 'net'}", pretrained=True).eval()
    x = net.example(2)
    assert torch.equal(again(x), net(x))
    prepare = timm.data.create_transform(**timm.data.resolve_model_data_config(again))
    shares = again(prepare(Image.open(picture))[None]).softmax(1)[0]
    ours = net.predict(picture, top=5)
    for guess in ours.top:
        assert float(shares[NAMES.index(guess.name)]) == pytest.approx(guess.probability, abs=1e-4)


def test_only_hosts_have_a_library(tmp_path: Path) -> None:
    net: Any = ac.models.MLP(depth=1, width=4)
    with pytest.raises(ConfigError, match="converted from transformers or timm"):
        ac.save_host(net, tmp_path / "net")
    assert not (tmp_path / "net").exists()


def test_a_question_for_timm_is_no_import_of_it() -> None:
    """transformers asks whether there is a timm; our names are registered when it is imported."""
    program = f"""
import importlib.util, sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
import conftest, autocompress
assert importlib.util.find_spec("timm") and importlib.util.find_spec("timm")
assert "timm" not in sys.modules
import timm
assert timm.is_model("acn_vit_tiny_patch16_224")
assert not any(type(finder).__name__ == "_After" and finder.module == "timm"
               for finder in sys.meta_path)
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True, timeout=300)
