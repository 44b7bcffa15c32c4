"""transformers' common model tests, on classes of its own and on ours: one family per process.

``ACN_SUITE`` is the model type, ``bert`` or ``acn-bert``. The tests are those of the source
distribution of the installed version (``common`` below); the small models are ours, as the
distribution carries none.
"""

from __future__ import annotations

import os
import unittest
from typing import Any

import torch
import transformers
from tests.test_modeling_common import ModelTesterMixin, floats_tensor, ids_tensor

from autocompress.transformers import acn_class

TYPE = os.environ["ACN_SUITE"]
FAMILY = TYPE.removeprefix("acn-")

_SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 37,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
    "initializer_range": 0.02,
}
CONFIGS: dict[str, dict[str, Any]] = {
    "bert": _SIZES
    | {
        "vocab_size": 99,
        "max_position_embeddings": 512,
        "type_vocab_size": 16,
        "is_decoder": False,
    },
    "vit": _SIZES | {"image_size": 30, "patch_size": 2, "num_channels": 3, "encoder_stride": 2},
}
CLASSES = {
    "bert": (
        "BertModel BertLMHeadModel BertForMaskedLM BertForMultipleChoice BertForPreTraining "
        "BertForNextSentencePrediction BertForQuestionAnswering BertForSequenceClassification "
        "BertForTokenClassification"
    ),
    "vit": "ViTModel ViTForImageClassification ViTForMaskedImageModeling",
}


def _classes() -> tuple[Any, ...]:
    plain = [getattr(transformers, name) for name in CLASSES[FAMILY].split()]
    return tuple(plain if TYPE == FAMILY else map(acn_class, plain))


class Tester:
    """What the common tests ask of a family."""

    batch_size, seq_length, is_training = 4, 7, True
    hidden_size, num_hidden_layers, num_attention_heads = 32, 2, 4
    num_choices, num_labels, type_sequence_label_size = 4, 3, 2
    image_size, patch_size, num_channels = 30, 2, 3
    num_masks, mask_length = 112, 225

    def __init__(self, parent: Any) -> None:
        self.parent = parent
        if FAMILY == "vit":
            self.seq_length = (30 // 2) ** 2 + 1
            self.encoder_seq_length = self.key_length = self.seq_length

    def get_config(self) -> Any:
        return _classes()[0].config_class(**CONFIGS[FAMILY])

    def prepare_config_and_inputs_for_common(self) -> tuple[Any, dict[str, Any]]:
        if FAMILY == "vit":
            return self.get_config(), {"pixel_values": floats_tensor([self.batch_size, 3, 30, 30])}
        ids = ids_tensor([self.batch_size, self.seq_length], 99)
        mask = torch.tril(torch.ones(self.batch_size, self.seq_length)).long()
        types = ids_tensor([self.batch_size, self.seq_length], 16)
        inputs = {"input_ids": ids, "token_type_ids": types, "attention_mask": mask}
        return self.get_config(), inputs


class CommonTest(ModelTesterMixin, unittest.TestCase):
    all_model_classes = _classes()
    all_generative_model_classes = ()  # the tests of generation are not in the distribution
    test_resize_embeddings = FAMILY == "bert"

    def setUp(self) -> None:
        self.model_tester = Tester(self)

    def test_model_get_set_embeddings(self) -> None:
        """For pictures as in transformers' own test of ViT: patches have no nn.Embedding."""
        if FAMILY == "bert":
            super().test_model_get_set_embeddings()
            return
        for cls in self.all_model_classes:
            model = cls(self.model_tester.get_config())
            assert isinstance(model.get_input_embeddings(), torch.nn.Module)
            last = model.get_output_embeddings()
            assert last is None or isinstance(last, torch.nn.Linear)

    def _prepare_for_class(
        self, inputs_dict: dict[str, Any], model_class: Any, return_labels: bool = False
    ) -> dict[str, Any]:
        found = super()._prepare_for_class(inputs_dict, model_class, return_labels=return_labels)
        if return_labels and model_class.__name__ == "BertForPreTraining":
            size = self.model_tester.batch_size
            found["labels"] = torch.zeros((size, self.model_tester.seq_length), dtype=torch.long)
            found["next_sentence_label"] = torch.zeros(size, dtype=torch.long)
        return dict(found)
