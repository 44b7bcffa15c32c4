"""What transformers and its clients do with a converted network is what they do with the plain one.

One test for each class that is registered: weights of the same seed, a plain checkpoint, its own
writer and Auto class, and the loss of its Trainer. The right value is always the plain class's.
"""

from __future__ import annotations

import copy
import itertools
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor

from autocompress.transformers import MODEL_TYPES, acn_class

#: Sizes under all the names that configs have for them; a config takes those it knows.
SIZES: dict[str, Any] = {
    "vocab_size": 24,
    "hidden_size": 8,
    "embedding_size": 8,
    "dim": 8,
    "n_embd": 8,
    "d_model": 8,
    "num_hidden_layers": 2,
    "n_layers": 2,
    "n_layer": 2,
    "encoder_layers": 2,
    "decoder_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "n_heads": 2,
    "n_head": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "head_dim": 4,
    "intermediate_size": 16,
    "hidden_dim": 16,
    "encoder_ffn_dim": 16,
    "decoder_ffn_dim": 16,
    "max_position_embeddings": 16,
    "n_positions": 16,
    "image_size": 8,
    "patch_size": 4,
    "encoder_stride": 4,
    "num_mel_bins": 4,
    "max_source_positions": 6,
    "max_target_positions": 8,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "cls_token_id": 1,
    "sep_token_id": 2,
    "decoder_start_token_id": 1,
}


@cache
def registered() -> dict[str, tuple[Any, Any]]:
    """Each acn class by its name, with an Auto class that knows it."""
    from transformers.models.auto import modeling_auto

    found: dict[str, tuple[Any, Any]] = {}
    types = [transformers.CONFIG_MAPPING[name] for name in MODEL_TYPES]
    autos = [auto for name, auto in vars(modeling_auto).items() if name.startswith("AutoModel")]
    for auto, config_class in itertools.product(autos, types):
        cls = auto._model_mapping.get(config_class, None)
        if cls is not None:
            found.setdefault(cls.__qualname__, (auto, cls))
    return found


def plain_of(cls: Any) -> Any:
    return getattr(transformers, cls.__name__)


def tiny(cls: Any, **values: Any) -> Any:
    """A small config of a model class."""
    known = cls.config_class().to_dict()
    sizes = {key: value for key, value in SIZES.items() if key in known}
    return cls.config_class(**sizes, **values)


def batch_of(model: Any, labels: bool = False) -> dict[str, Tensor]:
    """Inputs, and labels as the head of the class takes them."""
    torch.manual_seed(1)
    name, config = type(model).__name__, model.config
    inputs: dict[str, Tensor] = {}
    if model.main_input_name == "pixel_values":
        inputs["pixel_values"] = torch.randn(3, 3, 8, 8)
        if "MaskedImage" in name:
            inputs["bool_masked_pos"] = torch.tensor([[1, 0, 0, 1]] * 3).bool()
    elif model.main_input_name == "input_features":
        inputs["input_features"] = torch.randn(3, config.num_mel_bins, 12)
    if "pixel_values" not in inputs and name != "WhisperForAudioClassification":
        ids = torch.randint(3, 20, (3, 2, 6) if "MultipleChoice" in name else (3, 6))
        inputs["decoder_input_ids" if "input_features" in inputs else "input_ids"] = ids
    if labels and "QuestionAnswering" in name:
        inputs |= {"start_positions": torch.tensor([0, 1, 2])}
        inputs |= {"end_positions": torch.tensor([3, 3, 5])}
    elif labels and (not name.endswith("Model") or name.endswith("LMHeadModel")):
        per_token = any(word in name for word in ("LM", "Token", "Conditional", "PreTraining"))
        shape = inputs.get("input_ids", inputs.get("decoder_input_ids")) if per_token else None
        inputs["labels"] = torch.randint(0, 2, (3,) if shape is None else shape.shape)
        if name == "BertForPreTraining":
            inputs["next_sentence_label"] = torch.tensor([0, 1, 1])
    return inputs


def numbers(model: Any) -> Tensor:
    """All the floats that a pass returns, in one row."""
    with torch.no_grad():
        out = model.eval()(**batch_of(model), return_dict=True)
    tensors = [v for v in out.values() if isinstance(v, Tensor) and v.is_floating_point()]
    return torch.cat([t.flatten() for t in tensors])


every_class = pytest.mark.parametrize("name", sorted(registered()))


def test_every_family_has_classes() -> None:
    types = {cls.config_class.model_type for _, cls in registered().values()}
    assert types == set(MODEL_TYPES)


@every_class
def test_the_same_seed_draws_the_same_weights(name: str) -> None:
    cls = registered()[name][1]
    weights = []
    for made in (plain_of(cls), cls):
        torch.manual_seed(0)
        weights.append(made(tiny(made)).state_dict())
    assert weights[0].keys() == weights[1].keys()
    for key, expected in weights[0].items():
        assert torch.equal(weights[1][key], expected), key


@every_class
def test_checkpoints(name: str, tmp_path: Path) -> None:
    """A plain one loads whole; ours, by upstream's writer, loads equal by the Auto class."""
    auto, cls = registered()[name]
    torch.manual_seed(0)
    plain = plain_of(cls)(tiny(plain_of(cls)))
    plain.save_pretrained(tmp_path / "plain")
    rules = {}
    for rule in ("residual", "acn"):
        model, report = cls.from_pretrained(
            tmp_path / "plain", connectivity=rule, output_loading_info=True
        )
        assert not any(report.values()), report
        rules[rule] = model
    assert torch.equal(numbers(rules["residual"]), numbers(plain))
    assert not torch.allclose(numbers(rules["acn"]), numbers(plain))

    rules["acn"].save_pretrained(tmp_path / "acn")
    again, report = auto.from_pretrained(tmp_path / "acn", output_loading_info=True)
    assert not any(report.values()), report
    assert type(again) is cls
    assert torch.equal(numbers(again), numbers(rules["acn"]))
    written = json.loads((tmp_path / "acn" / "config.json").read_text())
    assert written["model_type"] == cls.config_class.model_type
    assert written["architectures"] == ["Acn" + cls.__name__]


@every_class
def test_the_trainers_loss(name: str, tmp_path: Path) -> None:
    cls = registered()[name][1]
    torch.manual_seed(0)
    plain = plain_of(cls)(tiny(plain_of(cls))).eval()
    ours = cls(tiny(cls, connectivity="residual")).eval()
    ours.load_state_dict(plain.state_dict())
    found: list[list[Any]] = []
    for smoothing, model in itertools.product((0.0, 0.1), (plain, ours)):
        arguments = transformers.TrainingArguments(
            str(tmp_path), label_smoothing_factor=smoothing, report_to=[], use_cpu=True
        )
        try:
            trainer = transformers.Trainer(model, arguments)
            loss = trainer.compute_loss(model, batch_of(model, labels=True))
            found.append([loss.item(), trainer.label_names, model.loss_type])
        except (KeyError, ValueError, TypeError) as error:
            found.append([type(error), str(error).replace("Acn", "")])
    assert found[0] == found[1]
    assert found[2] == found[3]


def test_some_of_these_losses_are_smoothed_and_shifted(tmp_path: Path) -> None:
    """The test above can fail: a class of another name has another loss."""
    from transformers import LlamaForCausalLM

    torch.manual_seed(0)
    plain = LlamaForCausalLM(tiny(LlamaForCausalLM)).eval()
    other = copy.deepcopy(plain)
    other.__class__ = type("AcnLlamaForCausalLM", (LlamaForCausalLM,), {})
    arguments = transformers.TrainingArguments(
        str(tmp_path), label_smoothing_factor=0.1, report_to=[], use_cpu=True
    )
    losses = [
        transformers.Trainer(m, arguments).compute_loss(m, batch_of(m, labels=True)).item()
        for m in (plain, other)
    ]
    assert abs(losses[0] - losses[1]) > 1e-4


def test_acn_class_is_its_own() -> None:
    cls = acn_class(transformers.BertModel)
    assert acn_class(cls) is cls
