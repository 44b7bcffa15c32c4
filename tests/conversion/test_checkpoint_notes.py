"""Checkpoints carry options of older versions and notes; networks made of them are saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import autocompress as ac
from autocompress.errors import ConfigError

transformers: Any = pytest.importorskip("transformers")

SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 40}
WIDE = {**SMALL, "intermediate_size": 32, "max_position_embeddings": 16}
GPT2 = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 16, "vocab_size": 40}

#: What configs of well-known checkpoints hold beside the fields of their class.
NOTES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "bert": (
        "BertForSequenceClassification",
        WIDE,
        {"gradient_checkpointing": False, "position_embedding_type": "absolute"},
    ),
    "distilbert": (
        "DistilBertForSequenceClassification",
        {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32, "vocab_size": 40},
        {"finetuning_task": "sst-2", "tie_weights_": True, "output_past": True},
    ),
    "electra": (
        "ElectraForSequenceClassification",
        {**WIDE, "embedding_size": 16},
        {"pretrained_note": "a/b c", "nested_note": {"made": ["by", "hand"]}},
    ),
    "gpt2": (
        "GPT2LMHeadModel",
        GPT2,
        {
            "n_ctx": 16,
            "task_specific_params": {"text-generation": {"do_sample": True, "max_length": 50}},
        },
    ),
}


@pytest.mark.parametrize("family", NOTES)
def test_a_network_of_a_checkpoint_with_notes_is_saved(family: str, tmp_path: Path) -> None:
    name, shape, notes = NOTES[family]
    cls = getattr(transformers, name)
    torch.manual_seed(0)
    model = cls(cls.config_class(**shape, **notes, pad_token_id=0)).eval()
    assert all(getattr(model.config, key) == value for key, value in notes.items())
    net = ac.convert(model, "residual").eval()
    tokens = torch.randint(1, 40, (3, 5))
    expected = net(tokens, depth=1)
    ac.save(net, tmp_path / "net")
    assert torch.equal(ac.load(tmp_path / "net").eval()(tokens, depth=1), expected)


def test_notes_that_would_fetch_or_run_code_are_still_refused(tmp_path: Path) -> None:
    cls = transformers.BertForSequenceClassification
    model = cls(cls.config_class(**WIDE, kernel_config={"any/kernel": "x"}, pad_token_id=0))
    with pytest.raises(ConfigError, match="kernel_config"):
        ac.save(ac.convert(model, "residual"), tmp_path / "net")
    assert not (tmp_path / "net").exists()
