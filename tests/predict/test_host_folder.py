"""A converted network as a folder that its host's library opens, with the same answers."""

from __future__ import annotations

import importlib.util
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
from autocompress.clients import after_import
from autocompress.data import DataConfig
from autocompress.errors import CheckpointError, ConfigError
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


@pytest.mark.slow
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
    ac.save_host(net, tmp_path / "theirs")
    net.set_connectivity("acn")
    ac.save(net, tmp_path / "ours")
    for rule, folder in [("acn", "ours"), ("residual", "theirs")]:
        net.set_connectivity(rule)
        said = json.loads((tmp_path / folder / "preprocessor_config.json").read_text())
        assert said["image_mean"] == [0.4, 0.5, 0.6]
        run = transformers.pipeline("image-classification", model=str(tmp_path / folder))
        answer = net.predict(picture)
        found = run(str(picture))
        assert [row["label"] for row in found] == [guess.name for guess in answer.top]
        for row, guess in zip(found, answer.top, strict=True):
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


def test_a_question_is_no_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """transformers asks whether there is a timm; our names are registered when it is imported."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "waited_for.py").write_text("value = 1")
    seen: list[int] = []
    after_import("waited_for", lambda: seen.append(sys.modules["waited_for"].value))
    waiting = len(sys.meta_path)
    assert importlib.util.find_spec("waited_for")
    assert importlib.util.find_spec("waited_for")
    assert "waited_for" not in sys.modules
    assert not seen
    importlib.import_module("waited_for")
    assert seen == [1]
    assert len(sys.meta_path) == waiting - 1
    del sys.modules["waited_for"]


@pytest.mark.parametrize("family", ["Roberta", "DebertaV2"])
def test_the_tokenizer_of_a_folder_is_the_one_of_training(
    family: str, reader: Any, tmp_path: Path
) -> None:
    """Whatever tokenizer the family of the host usually has."""
    config = getattr(transformers, f"{family}Config")(
        vocab_size=200, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=60, pad_token_id=0,
    )  # fmt: skip
    net = ac.convert(getattr(transformers, f"{family}ForSequenceClassification")(config))
    net.tokenizer = reader.tokenizer
    ac.save(net, tmp_path / "net")
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "net")
    plain = ac.data.Tokenizer(reader.tokenizer)
    for text in TEXTS:
        assert theirs(text)["input_ids"] == plain.rows([[text]], True)[0]


def test_transformers_opens_a_folder_of_ours(reader: Any, tmp_path: Path) -> None:
    import autocompress.transformers

    net = ac.cut(reader, 2)
    net.set_connectivity("hacn")
    ac.save(net, tmp_path / "net")
    auto = transformers.AutoModelForSequenceClassification
    model = auto.from_pretrained(tmp_path / "net")
    assert type(model) is autocompress.transformers.acn_class(type(model).__mro__[2])
    assert model.config.num_hidden_layers == 2
    assert model.config.id2label == {0: "bad", 1: "good"}
    ids = torch.tensor([[2, 20, 21, 3]])
    assert torch.equal(model(ids).logits, net(ids))
    config = transformers.AutoConfig.from_pretrained(tmp_path / "net")
    assert (config.num_hidden_layers, config.connectivity) == (2, net.rule())
    run = transformers.pipeline("text-classification", model=str(tmp_path / "net"))
    for text, ours in zip(TEXTS, net.predict(TEXTS), strict=True):
        (theirs,) = run(text)
        assert theirs["label"] == ours.label
        assert theirs["score"] == pytest.approx(ours.probability, abs=1e-5)
    half = auto.from_pretrained(tmp_path / "net", dtype=torch.bfloat16)
    assert half.dtype == torch.bfloat16
    with pytest.raises(ConfigError, match="quantization_config cannot be applied"):
        auto.from_pretrained(tmp_path / "net", quantization_config={"load_in_8bit": True})
    weights = tmp_path / "net" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    with pytest.raises(CheckpointError, match="altered"):
        auto.from_pretrained(tmp_path / "net")
