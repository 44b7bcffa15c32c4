"""What transformers and its clients do with a converted network is what they do with the plain one.

One test for each class that is registered: weights of the same seed, a plain checkpoint, its own
writer and Auto class, and the loss of its Trainer. The right value is always the plain class's.
"""

from __future__ import annotations

import copy
import importlib
import inspect
import itertools
import json
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor

from autocompress.transformers import MODEL_TYPES, acn_class
from marks import slow_but

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
    "ffn_dim": 16,
    "num_layers": 2,
    "num_heads": 2,
    "attention_types": [[["global"], 2]],
    "rotary_dim": 4,
    "word_embed_proj_dim": 8,
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


#: Families of which every class is tried; of their kin, which have the same layers, one each, or
#: every one where ACN_TEST_EVERY_CLASS is set (a minute more).
FAMILIES = {
    *("bert", "roberta", "distilbert", "deberta-v2", "modernbert", "gpt2", "llama", "mistral"),
    *("qwen2", "qwen3", "gemma", "vit", "dinov2", "whisper"),
}


EVERY = bool(os.environ.get("ACN_TEST_EVERY_CLASS"))

#: Endings of the classes that take a label for each token.
PER_TOKEN = ("CausalLM", "MaskedLM", "LMHeadModel", "ForTokenClassification")
PER_TOKEN += ("ForConditionalGeneration", "ForPreTraining")


@cache
def registered() -> dict[str, tuple[Any, Any]]:
    """Each acn class by its name, with an Auto class that knows it."""
    from transformers.models.auto import modeling_auto

    found: dict[str, tuple[Any, Any]] = {}
    types = [transformers.CONFIG_MAPPING[name] for name in MODEL_TYPES]
    for config_class in types:
        config_class()  # the first config of a type registers its family
    autos = [auto for name, auto in vars(modeling_auto).items() if name.startswith("AutoModel")]
    for auto, config_class in itertools.product(autos, types):
        cls = auto._model_mapping.get(config_class, None)
        kin = config_class.model_type.removeprefix("acn-") not in FAMILIES and not EVERY
        if cls is not None and not (
            kin and config_class in {c.config_class for _, c in found.values()}
        ):
            found.setdefault(cls.__qualname__, (auto, cls))
    return found


def plain_of(cls: Any) -> Any:
    return getattr(transformers, cls.__name__)


def tiny(cls: Any, **values: Any) -> Any:
    """A small config of a model class."""
    known = cls.config_class().to_dict()
    sizes = {key: value for key, value in SIZES.items() if key in known}
    return cls.config_class(**sizes, **values)


def seed(number: int) -> None:
    """Of the CPU alone: a seed of all devices notes where it was asked for, which takes time."""
    torch.default_generator.manual_seed(number)


def drawn(cls: Any) -> Any:
    """A small plain model of the first seed."""
    seed(0)
    return cls(tiny(cls))


def batch_of(model: Any, labels: bool = False) -> dict[str, Tensor]:
    """Inputs, and labels as the head of the class takes them."""
    seed(1)
    name, config = type(model).__name__, model.config
    inputs: dict[str, Tensor] = {}
    if model.main_input_name == "pixel_values":
        inputs["pixel_values"] = torch.randn(3, 3, 8, 8)
        if "MaskedImage" in name:
            inputs["bool_masked_pos"] = torch.tensor([[1, 0, 0, 1]] * 3).bool()
    elif model.main_input_name == "input_features":
        inputs["input_features"] = torch.randn(3, config.num_mel_bins, 12)
    elif model.main_input_name == "input_values":
        inputs["input_values"] = torch.randn(3, config.max_length, config.num_mel_bins)
    sees = {"pixel_values", "input_values"} & inputs.keys()
    if not sees and name != "WhisperForAudioClassification":
        ids = torch.randint(3, 20, (3, 2, 6) if "MultipleChoice" in name else (3, 6))
        inputs["decoder_input_ids" if "input_features" in inputs else "input_ids"] = ids
    if labels and "QuestionAnswering" in name:
        inputs |= {"start_positions": torch.tensor([0, 1, 2])}
        inputs |= {"end_positions": torch.tensor([3, 3, 5])}
    elif labels and (not name.endswith("Model") or name.endswith("LMHeadModel")):
        per_token = name.endswith(PER_TOKEN)
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


CLASSES = sorted(registered())
every_class = pytest.mark.parametrize("name", slow_but(CLASSES, CLASSES[::8]))


def test_every_family_has_classes() -> None:
    types = {cls.config_class.model_type for _, cls in registered().values()}
    assert types == set(MODEL_TYPES)


@every_class
def test_the_same_seed_draws_the_same_weights(name: str) -> None:
    cls = registered()[name][1]
    weights = [drawn(made).state_dict() for made in (plain_of(cls), cls)]
    assert weights[0].keys() == weights[1].keys()
    for key, expected in weights[0].items():
        assert torch.equal(weights[1][key], expected), key


@every_class
def test_checkpoints(name: str, tmp_path: Path) -> None:
    """A plain one loads whole; ours, by upstream's writer, loads equal by the Auto class."""
    auto, cls = registered()[name]
    plain = drawn(plain_of(cls))
    plain.save_pretrained(tmp_path / "plain")
    ours, report = cls.from_pretrained(tmp_path / "plain", output_loading_info=True)
    assert not any(report.values()), report
    for key, expected in plain.state_dict().items():
        assert torch.equal(ours.state_dict()[key], expected), key
    found = numbers(ours)
    assert not torch.allclose(found, numbers(plain))

    ours.save_pretrained(tmp_path / "acn")
    again, report = auto.from_pretrained(tmp_path / "acn", output_loading_info=True)
    assert not any(report.values()), report
    assert type(again) is cls
    assert torch.equal(numbers(again), found)
    written = json.loads((tmp_path / "acn" / "config.json").read_text())
    assert written["model_type"] == cls.config_class.model_type
    assert written["architectures"] == ["Acn" + cls.__name__]


@every_class
def test_the_trainers_loss(name: str, tmp_path: Path) -> None:
    cls = registered()[name][1]
    plain = drawn(plain_of(cls)).eval()
    ours = cls(tiny(cls, connectivity="residual")).eval()
    ours.load_state_dict(plain.state_dict())
    assert torch.equal(numbers(ours), numbers(plain))
    assert losses(ours, tmp_path) == losses(plain, tmp_path)


def losses(model: Any, folder: Path) -> list[Any]:
    """A Trainer's loss of the model with smoothed labels and without, or why there is none."""
    arguments = transformers.TrainingArguments(
        str(folder), label_smoothing_factor=0.1, report_to=[], use_cpu=True
    )
    trainer = transformers.Trainer(model, arguments)
    found: list[Any] = [trainer.label_names, model.loss_type]
    for smoother in (trainer.label_smoother, None):
        trainer.label_smoother = smoother
        try:
            found.append(trainer.compute_loss(model, batch_of(model, labels=True)).item())
        except (KeyError, ValueError, TypeError, RuntimeError) as error:
            found.append((type(error), str(error)))
    return found


def test_some_of_these_losses_are_smoothed_and_shifted(tmp_path: Path) -> None:
    """The test above can fail: a class of another name has another loss."""
    from transformers import LlamaForCausalLM

    plain = drawn(LlamaForCausalLM).eval()
    other = copy.deepcopy(plain)
    other.__class__ = type("AcnLlamaForCausalLM", (LlamaForCausalLM,), {})
    wanted, found = losses(plain, tmp_path)[2:], losses(other, tmp_path)[2:]
    assert abs(wanted[0] - found[0]) > 1e-4
    assert wanted[1] == found[1] != wanted[0]


def test_acn_class_is_its_own() -> None:
    cls = acn_class(transformers.BertModel)
    assert acn_class(cls) is cls


# -- other look-ups --------------------------------------------------------------------------------


def test_no_other_type_is_read_from_a_running_model() -> None:
    """transformers compares ``config.model_type`` with names in places where a model runs."""
    home = Path(transformers.__file__).parent
    files = [*home.glob("*.py"), *(f for d in RUNNING for f in (home / d).rglob("*.py"))]
    read = {
        name
        for file in files
        for line in file.read_text(encoding="utf-8").splitlines()
        if re.search(r"config\.model_type (==|in) ", line)
        for name in re.findall(r'"([\w-]+)"', line)
    }
    assert read, "transformers has changed: look for what it reads now"
    ours = {name.removeprefix("acn-") for name in MODEL_TYPES}
    config = {name: transformers.CONFIG_MAPPING["acn-" + name]() for name in read & ours}
    assert {name: value.model_type for name, value in config.items()} == {n: n for n in config}


RUNNING = ("generation", "pipelines", "trainer_utils", "quantizers", "integrations")


def test_pipelines_know_the_classes(caplog: pytest.LogCaptureFixture) -> None:
    """The check of a pipeline logs an error for a class whose name it does not know."""
    from transformers import BertForSequenceClassification

    model = acn_class(BertForSequenceClassification)(
        tiny(BertForSequenceClassification, id2label={0: "no", 1: "yes"})
    )
    vocabulary = {
        word: index for index, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a"])
    }
    tokenizer = transformers.BertTokenizer(vocab=vocabulary)
    run = transformers.pipeline("text-classification", model=model, tokenizer=tokenizer)
    assert {one["label"] for one in run("a a", top_k=2)} == {"no", "yes"}
    assert "not supported" not in caplog.text


def test_speech_recognition_takes_it_for_whisper() -> None:
    from transformers import WhisperForConditionalGeneration

    types = []
    extractor = transformers.WhisperFeatureExtractor(feature_size=4)
    for cls in (WhisperForConditionalGeneration, acn_class(WhisperForConditionalGeneration)):
        run = transformers.pipeline(
            "automatic-speech-recognition",
            model=cls(tiny(cls)),
            feature_extractor=extractor,
            tokenizer=transformers.BertTokenizer(vocab={"[UNK]": 0}),
        )
        types.append(run.type)
    assert types == ["seq2seq_whisper"] * 2


@every_class
def test_constructors_and_calls_have_the_hosts_signature(name: str) -> None:
    cls = registered()[name][1]
    plain = plain_of(cls)
    assert inspect.signature(cls) == inspect.signature(plain)
    assert inspect.signature(cls.forward) == inspect.signature(plain.forward)


def test_a_plain_config_is_copied() -> None:
    from transformers import ViTModel

    config = tiny(ViTModel)
    model = acn_class(ViTModel)(config, add_pooling_layer=False)
    assert model.pooler is None
    assert model.config.connectivity == "acn"
    assert not hasattr(config, "connectivity")
    assert type(config) is transformers.ViTConfig


def test_gates_that_a_checkpoint_lacks_start_as_their_rule_says(tmp_path: Path) -> None:
    """A new network is built without memory when it is loaded: its gates need values then."""
    from transformers import BertModel

    BertModel(tiny(BertModel)).save_pretrained(tmp_path / "plain")
    for gates in ("learned", "scheduled"):
        rule = {"name": "plane", "short": 0.25, "long": 0.75, "gates": gates}
        cls = acn_class(BertModel)
        model = cls.from_pretrained(tmp_path / "plain", connectivity=rule)
        trunk = model.encoder.layer
        assert trunk.connectivity.gates.values() == ([0.25] * 2, [0.75] * 2)
        with torch.no_grad():
            trunk.connectivity.gates.short.fill_(0.5)
        model.save_pretrained(tmp_path / gates)
        again = transformers.AutoModel.from_pretrained(tmp_path / gates)
        assert again.encoder.layer.connectivity.gates.values() == ([0.5] * 2, [0.75] * 2)


def test_branches_of_a_users_own_are_not_loaded_as_the_familys(tmp_path: Path) -> None:
    from transformers import LlamaForCausalLM

    import autocompress as ac
    from autocompress.errors import ConvertError

    def attention(layer: Any, x: Tensor, skip: Any, **kwargs: Any) -> Tensor:
        h, _ = layer.self_attn(hidden_states=layer.input_layernorm(x), **kwargs)
        return h + skip * x

    def mlp(layer: Any, x: Tensor, skip: Any, **_: Any) -> Tensor:
        return layer.mlp(layer.post_attention_layernorm(x)) + skip * x

    plain = LlamaForCausalLM(tiny(LlamaForCausalLM)).eval()
    net = ac.convert(plain, "acn", branches=[attention, mlp])
    net.model.save_pretrained(tmp_path)
    with pytest.raises(ConvertError, match="which no file holds"):
        type(net.model).from_pretrained(tmp_path)


IMPORTS = {
    "ours first": "import autocompress; import transformers",
    "theirs first": "import transformers; transformers.AutoModel; import autocompress",
}

LOADS = """
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
config = AutoConfig.from_pretrained(sys.argv[1])
assert "transformers.models.bert.modeling_bert" not in sys.modules
model = AutoModelForCausalLM.from_pretrained(sys.argv[1])
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
print(config.model_type, type(model).__qualname__, type(tokenizer).__name__)
"""


@pytest.mark.slow  # test_cut_networks_load_in_a_new_process does "theirs first" as well
@pytest.mark.parametrize("order", IMPORTS)
def test_plain_imports_in_any_order_are_enough(order: str, tmp_path: Path) -> None:
    from transformers import LlamaForCausalLM

    acn_class(LlamaForCausalLM)(tiny(LlamaForCausalLM)).save_pretrained(tmp_path)
    transformers.BertTokenizer(vocab={"[UNK]": 0}).save_pretrained(tmp_path)
    code = f"import sys; sys.modules['torchvision'] = None; {IMPORTS[order]}{LOADS}"
    command = [sys.executable, "-W", "ignore", "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.split()[:2] == ["acn-llama", "AcnLlamaForCausalLM"], done.stderr


def test_what_is_said_when_registration_fails() -> None:
    """Somebody else's import goes on, with a warning."""
    from autocompress.clients import after_import

    def fail() -> None:
        raise ValueError("no such table")

    sys.modules.pop("colorsys", None)
    after_import("colorsys", fail)
    with pytest.warns(UserWarning, match="cannot register with colorsys: no such table"):
        importlib.import_module("colorsys")
    seen: list[int] = []
    after_import("colorsys", lambda: seen.append(1))
    assert seen == [1]


def test_a_package_whose_compiled_part_does_not_load_is_importable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As torchvision beside another build of torch: it describes operators that nothing brought."""
    from autocompress.clients import before_import
    from autocompress.extras import declare_operators

    folder = tmp_path / "not_loading"
    folder.mkdir()
    (folder / "_C.so").write_bytes(b"built for another torch")
    (folder / "__init__.py").write_text(
        "import torch\n"
        "@torch.library.register_fake('not_loading::nms')\n"
        "def shapes(dets, scores, iou_threshold): return dets\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(RuntimeError, match="not_loading::nms does not exist"):
        importlib.import_module("not_loading")
    before_import("not_loading", lambda: declare_operators("not_loading", ("nms",)))
    package = importlib.import_module("not_loading")
    with pytest.raises(NotImplementedError):  # declared, and nothing more
        package.torch.ops.not_loading.nms(torch.zeros(1, 4), torch.zeros(1), 0.5)
    assert not declare_operators("not_loading", ("nms",))
    assert not declare_operators("no_such_package", ("nms",))


@pytest.mark.slow  # a new process, which imports timm and transformers
def test_timm_and_transformers_import_beside_any_torchvision() -> None:
    code = "import autocompress, timm; from transformers import BertModel, ViTModel; print('ok')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "ok", done.stderr
