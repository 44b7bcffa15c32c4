"""Converted networks answer by the records of their libraries, never having been trained here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import autocompress as ac
from autocompress.cli import main
from autocompress.conversion.hf_preparation import files_beside, pixels_in
from autocompress.errors import ConfigError, UnknownNameError

SIZES = [(90, 61), (48, 200), (32, 32), (7, 9), (36, 36)]


def picture(width: int, height: int) -> Image.Image:
    rng = np.random.default_rng(width)
    coarse = Image.fromarray(rng.integers(0, 256, (5, 6, 3), dtype=np.uint8))
    return coarse.resize((width, height), Image.Resampling.BICUBIC)


def timm_host(**record: Any) -> Any:
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    model = timm.create_model(
        "vit_tiny_patch16_224",
        **{"img_size": 32, "patch_size": 8, "embed_dim": 16, "depth": 3, "num_heads": 2},
        num_classes=6,
    ).eval()
    model.pretrained_cfg = {**model.pretrained_cfg, **record}
    return model


@pytest.mark.parametrize(
    "record",
    [
        {},  # as its name says: bicubic, 0.9, in the middle
        {"crop_pct": 0.875, "interpolation": "bilinear", "mean": (0.48, 0.45, 0.4)},
        {"crop_mode": "squash", "crop_pct": 1.0, "interpolation": "lanczos"},
        {"crop_mode": "squash", "crop_pct": 0.8, "std": (0.2, 0.3, 0.25)},
    ],
)
@torch.no_grad()
def test_a_timm_network_sees_what_timms_transform_makes(
    record: dict[str, Any], tmp_path: Path
) -> None:
    host = timm_host(**record)
    from timm.data import create_transform, resolve_data_config

    net = ac.convert(host, "residual")
    config = resolve_data_config({}, model=net.model)
    assert config["input_size"] == (3, 32, 32)
    transform = create_transform(**config, is_training=False)
    pictures = [picture(*size) for size in SIZES]
    expected = host(torch.stack([transform(one) for one in pictures])).softmax(1)
    ac.save(ac.cut(net, 3), tmp_path / "net")
    loaded: Any = ac.load(tmp_path / "net")
    for one in (net, loaded):
        found = one.predict(pictures, top=6)
        for said, shares in zip(found, expected, strict=True):
            by_name = dict(said.top)
            numbers = torch.tensor([by_name[str(n)] for n in range(6)])
            torch.testing.assert_close(numbers, shares, atol=2e-6, rtol=0)
    again = resolve_data_config({}, model=loaded.model)
    assert {**again, "mean": [*again["mean"]]} == {**config, "mean": [*config["mean"]]}
    told = json.loads((tmp_path / "net" / "config.json").read_text())
    assert ("pixels" in told) == bool(record)


def test_a_record_that_cannot_be_followed_is_no_record(tmp_path: Path) -> None:
    net = ac.convert(timm_host(crop_mode="border"))
    with pytest.raises(ConfigError, match="records neither a tokenizer nor how pictures"):
        net.predict(picture(9, 9))
    folder = tmp_path / "net"
    ac.save(ac.convert(timm_host(crop_pct=0.5)), folder)
    for key, value in (("crop", 0), ("fit", "border"), ("interpolation", "os.system")):
        said = json.loads((folder / "config.json").read_text())
        with pytest.raises(ConfigError):
            ac.data.ImageInput.of({**said["pixels"], key: value})
    with pytest.raises(UnknownNameError, match="did you mean 'bicubic'"):
        ac.data.ImageInput(interpolation="bicubc")


def test_a_ribbon_takes_no_more_memory_than_a_picture() -> None:
    from autocompress.data.fitting import fitted

    thin = Image.new("RGB", (30_000, 1), (10, 200, 30))
    made = fitted(thin, (224, 224), "bicubic", 0.9, "center")
    assert made.size == (224, 224)
    assert made.getpixel((100, 100)) == (10, 200, 30)


WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "film", "a", "un", "##like"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=12,
        num_labels=3,
        id2label={0: "awful", 1: "so so", 2: "great"},
        label2id={"awful": 0, "so so": 1, "great": 2},
    )
    tokenizer = transformers.BertTokenizer(vocab={w: i for i, w in enumerate(WORDS)})
    for cls, name in (("ForSequenceClassification", "texts"), ("ForMaskedLM", "words")):
        getattr(transformers, f"Bert{cls}")(config).eval().save_pretrained(tmp_path / name)
        tokenizer.save_pretrained(tmp_path / name)
    return tmp_path


@torch.no_grad()
def test_a_checkpoint_brings_its_tokenizer(folder: Path, capsys: Any) -> None:
    import transformers

    path = folder / "texts"
    texts = ["good film", "a bad unlike film", "good"]
    tokenizer = transformers.AutoTokenizer.from_pretrained(path)
    plain = transformers.AutoModelForSequenceClassification.from_pretrained(path)
    expected = plain(**tokenizer(texts, padding=True, return_tensors="pt")).logits.softmax(1)
    assert (
        main(["convert", f"hf:{path}", "--connectivity", "residual", "--output", f"{folder}/n"])
        == 0
    )
    net: Any = ac.load(folder / "n")
    for said, shares in zip(net.predict(texts, top=3), expected, strict=True):
        numbers = torch.tensor([dict(said.top)[n] for n in ("awful", "so so", "great")])
        torch.testing.assert_close(numbers, shares, atol=1e-6, rtol=0)
    capsys.readouterr()
    assert main(["predict", f"{folder}/n", "good film", "good " * 40, "--json"]) == 1
    out, errors = capsys.readouterr()
    first, second = map(json.loads, out.splitlines())
    assert first["label"] in ("awful", "so so", "great")
    assert "has 42 tokens, and the network has positions for 12" in second["error"]
    assert len(errors.splitlines()) == 1


def test_a_network_of_words_says_so(folder: Path) -> None:
    net = ac.convert(f"hf:{folder / 'words'}")
    with pytest.raises(ConfigError, match="this network predicts words"):
        net.predict("good [MASK]")


@torch.no_grad()
def test_a_checkpoint_brings_its_preparation_of_pictures(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.ViTConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=16,
        patch_size=4,
        num_labels=3,
    )
    plain = transformers.ViTForImageClassification(config).eval()
    plain.save_pretrained(tmp_path)
    said = {
        "image_processor_type": "ViTImageProcessor",
        "size": {"height": 16, "width": 16},
        "image_mean": [0.1, 0.2, 0.3],
        "image_std": [0.4, 0.5, 0.6],
        "resample": 3,
    }
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(said))
    net: Any = ac.convert(f"hf:{tmp_path}", "residual")
    one = picture(16, 16)
    processor = transformers.AutoImageProcessor.from_pretrained(tmp_path, backend="pil")
    shares = plain(**processor(one, return_tensors="pt")).logits.softmax(1)[0]
    numbers = torch.tensor([dict(net.predict(one, top=3).top)[str(n)] for n in range(3)])
    torch.testing.assert_close(numbers, shares, atol=1e-6, rtol=0)
    assert net.preprocess["interpolation"] == "bicubic"


@pytest.mark.parametrize(
    ("said", "size", "crop", "fit"),
    [
        ({"size": 64}, (64, 64), 1.0, "squash"),
        ({"size": {"height": 24, "width": 32}}, (24, 32), 1.0, "squash"),
        (
            {"size": {"shortest_edge": 256}, "do_center_crop": True, "crop_size": 224},
            (224, 224),
            0.875,
            "center",
        ),
        ({"size": {"shortest_edge": 224}, "crop_pct": 0.8}, (224, 224), 0.8, "center"),
        ({"size": {"shortest_edge": 384}, "crop_pct": 0.8}, (384, 384), 1.0, "squash"),
    ],
)
def test_forms_of_preprocessor_config(
    said: dict[str, Any], size: tuple[int, int], crop: float, fit: str
) -> None:
    found = pixels_in({"image_mean": [0.5] * 3, "image_std": [0.2] * 3, **said})
    assert found is not None
    assert (found.size, found.crop, found.fit) == (size, crop, fit)
    written = files_beside(None, found.to_json())["preprocessor_config.json"]
    again = pixels_in(written)
    assert again is not None
    assert (again.size, again.fit) == (size, fit)


@pytest.mark.parametrize(
    "said",
    [
        {"size": {"longest_edge": 64}},
        {"size": 64, "do_pad": True},
        {"size": 64, "image_std": [0.0] * 3},
        {"size": "64"},
        {"size": 64, "resample": 9},
        [],
    ],
)
def test_other_forms_are_left_alone(said: Any) -> None:
    if isinstance(said, dict):
        said = {"image_mean": [0.5] * 3, "image_std": [0.2] * 3, **said}
    assert pixels_in(said) is None
