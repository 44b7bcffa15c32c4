"""Surgery that lasts, in transformers' own terms: classes, configs, caches, checkpoints."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import autocompress as ac
from autocompress.errors import ConfigError, ConvertError
from hosts import DECODERS, HOSTS, KINDS, batch, host, output
from marks import slow_but

HF = [name for name in HOSTS if name.startswith("hf-")]
every_model = pytest.mark.parametrize("name", slow_but(HF, KINDS))

#: What loads a plain checkpoint and one of ours in a new process: a library registers with another
#: that was imported before it, and imports no model that is not asked for.
LOAD = """
import json, sys
sys.modules["torchvision"] = None
import torch, transformers
from transformers import AutoConfig, AutoTokenizer
transformers.AutoModel
for line in sys.stdin:
    folder, cls, ours, inputs = json.loads(line)
    said = {}
    if ours:
        import autocompress
        said["type"] = AutoConfig.from_pretrained(folder).model_type
        said["others"] = "transformers.models.whisper.modeling_whisper" in sys.modules
        said["tokenizer"] = type(AutoTokenizer.from_pretrained(folder)).__name__
    model = getattr(transformers, cls).from_pretrained(folder).eval()
    with torch.no_grad():
        logits = model(**{key: torch.tensor(value) for key, value in inputs.items()}).logits
    said |= {"class": type(model).__qualname__, "layers": model.config.num_hidden_layers}
    print(json.dumps({**said, "ours": "autocompress" in sys.modules, "logits": logits.tolist()}))
"""


def loaded_elsewhere(*jobs: tuple[Path, str, bool, dict[str, Any]]) -> list[Any]:
    """What a fresh process makes of checkpoints, with or without this library.

    A job is a folder, the name of a class, whether the library is imported, and inputs.
    """
    lines = [
        json.dumps([str(folder), cls, ours, {k: v.tolist() for k, v in inputs.items()}])
        for folder, cls, ours, inputs in jobs
    ]
    command = [sys.executable, "-W", "ignore", "-c", LOAD]
    given: dict[str, Any] = {"input": "\n".join(lines), "capture_output": True, "text": True}
    done = subprocess.run(command, check=False, **given)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()[-len(jobs) :]]


@pytest.mark.parametrize(
    ("plain", "acn", "auto"),
    slow_but(
        [
            ("hf-bert", "hf-bert", "AutoModelForSequenceClassification"),
            ("hf-gpt2", "hf-qwen3", "AutoModelForCausalLM"),
            ("hf-modernbert", "hf-bert", "AutoModelForSequenceClassification"),
        ],
        [("hf-gpt2", "hf-qwen3", "AutoModelForCausalLM")],
    ),
)
def test_cut_networks_load_in_a_new_process(
    plain: str, acn: str, auto: str, tmp_path: Path
) -> None:
    """transformers loads a residual one by itself, and an ACN by its Auto classes with ours."""
    from transformers import BertTokenizer

    residual = host(plain)
    cut = ac.cut(ac.convert(residual, "residual"), 2)
    ac.restore(cut).save_pretrained(tmp_path / "plain")
    model = host(acn)
    net = ac.cut(ac.convert(model, "acn"), 3)
    net.model.save_pretrained(tmp_path / "acn")
    BertTokenizer(vocab={"[UNK]": 0}).save_pretrained(tmp_path / "acn")
    config = json.loads((tmp_path / "acn" / "config.json").read_text())
    assert config["model_type"].startswith("acn-")
    assert config["connectivity"] == {"name": "acn"}
    assert [path.name for path in (tmp_path / "acn").glob("*.py")] == ["modeling_acn.py"]
    assert not list((tmp_path / "acn").glob("*.bin"))
    found, with_ours = loaded_elsewhere(
        (tmp_path / "plain", type(residual).__name__, False, batch(residual)),
        (tmp_path / "acn", auto, True, batch(model)),
    )
    assert (found["layers"], found["class"], found["ours"]) == (2, type(residual).__name__, False)
    assert (with_ours["layers"], with_ours["class"]) == (3, "Acn" + type(model).__name__)
    assert (with_ours["type"], with_ours["others"]) == (config["model_type"], False)
    assert "BertTokenizer" in with_ours["tokenizer"]
    with torch.no_grad():
        expected = output(cut.model, batch(residual)), output(net.model, batch(model))
    torch.testing.assert_close(torch.tensor(found["logits"]), expected[0])
    torch.testing.assert_close(torch.tensor(with_ours["logits"]), expected[1])


@every_model
def test_restored_is_the_class_it_was(name: str) -> None:
    model = host(name)
    again = ac.restore(ac.convert(model, "residual"))
    assert type(again) is type(model)
    assert type(again.config) is type(model.config)
    assert [type(m) for m in again.modules()] == [type(m) for m in model.modules()]
    assert again.config.to_dict() == model.config.to_dict()
    with torch.no_grad():
        assert torch.equal(output(again, batch(model)), output(model, batch(model)))


@every_model
def test_every_family_goes_through_its_own_save(name: str, tmp_path: Path) -> None:
    from autocompress.transformers import MODEL_TYPES, acn_class

    model = host(name)
    net = ac.cut(ac.convert(model, "hacn"), 2)
    net.model.save_pretrained(tmp_path)
    again = acn_class(type(model)).from_pretrained(tmp_path).eval()
    assert again.config.model_type in MODEL_TYPES
    with torch.no_grad():
        assert torch.equal(output(again, batch(model)), output(net.model, batch(model)))
    assert ac.convert(again).rule() == net.rule()


@every_model
def test_a_plain_checkpoint_loads_into_the_acn_class(name: str, tmp_path: Path) -> None:
    from autocompress.transformers import acn_class

    model = host(name)
    model.save_pretrained(tmp_path)
    again = acn_class(type(model)).from_pretrained(tmp_path, connectivity="residual").eval()
    with torch.no_grad():
        torch.testing.assert_close(output(again, batch(model)), output(model, batch(model)))


@pytest.mark.parametrize("name", ["hf-bert", "hf-llama", "hf-vit"])
def test_hidden_states_and_attentions_are_those_of_the_original(name: str) -> None:
    model = host(name)
    net = ac.convert(model, "residual")
    for one in (model, net.model):
        one.set_attn_implementation("eager")
    options = {"output_hidden_states": True, "output_attentions": True}
    with torch.no_grad():
        wanted, found = (one(**batch(model), **options) for one in (model, net.model))
    for key in ("hidden_states", "attentions"):
        assert len(found[key]) == len(wanted[key])
        for theirs, ours in zip(wanted[key], found[key], strict=True):
            torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("name", ["hf-bert", "hf-llama", "hf-gpt2", "hf-whisper"])
def test_gradient_checkpointing_recomputes_and_changes_nothing(name: str) -> None:
    model = host(name)
    net = ac.convert(model, "acn").train()
    gradients = []
    for recompute in (False, True):
        if recompute:
            net.model.activation_checkpointing_enable({"use_reentrant": False})
        calls: list[int] = []
        linear = next(m for m in net.trunk.blocks[1].modules() if not list(m.children()))
        hook = linear.register_forward_hook(lambda *_, calls=calls: calls.append(1))
        torch.manual_seed(3)
        net.zero_grad()
        output(net.model, batch(model)).square().mean().backward()
        hook.remove()
        gradients.append([p.grad for p in net.parameters() if p.grad is not None])
        assert len(calls) == 1 + recompute
    for without, with_ in zip(*gradients, strict=True):
        torch.testing.assert_close(with_, without)


@pytest.mark.parametrize("name", DECODERS)
def test_tied_weights_stay_tied(name: str, tmp_path: Path) -> None:
    model = host(name)
    model.config.tie_word_embeddings = True
    model.tie_weights()
    net = ac.cut(ac.convert(model, "acn"), 2)
    assert net.model.get_output_embeddings().weight is net.model.get_input_embeddings().weight
    ac.save(net, tmp_path / "net")
    again = ac.load(tmp_path / "net")
    assert again.model.get_output_embeddings().weight is again.model.get_input_embeddings().weight


def test_options_that_break_the_form_are_refused() -> None:
    from transformers import BertConfig, BertModel

    decoder = BertModel(
        BertConfig(
            vocab_size=9,
            hidden_size=8,
            num_attention_heads=2,
            intermediate_size=8,
            num_hidden_layers=2,
            is_decoder=True,
            add_cross_attention=True,
        )
    )
    assert "cross-attention" in ac.plan(decoder).refusals[0]
    with pytest.raises(ConvertError, match=r"encoder\.layer\.0 \(BertLayer\): it has cross"):
        ac.convert(decoder)


def test_a_host_without_logits_says_what_it_returns() -> None:
    import transformers

    config = host("hf-bert").config
    config.num_labels = 2  # where the answer starts, and where it ends
    net = ac.convert(transformers.BertForQuestionAnswering(config).eval(), "residual")
    ids = torch.randint(3, 40, (2, 5))
    assert net.model(ids).start_logits.shape == (2, 5)
    with pytest.raises(ConfigError, match="returns start_logits, end_logits and no logits"):
        net(ids)


def test_only_residual_networks_can_be_restored() -> None:
    net = ac.convert(host("hf-bert"), "acn")
    with pytest.raises(ConvertError, match="'acn' needs autocompress to run"):
        ac.restore(net)


@pytest.mark.parametrize("name", ["hf-bert", "hf-llama"])
@torch.no_grad()
def test_hidden_states_and_padding_are_those_of_transformers(name: str) -> None:
    """These are what a teacher of hidden states reads; llama normalises the last one."""
    model = host(name)
    inputs = batch(model)
    theirs = model(**inputs, output_hidden_states=True).hidden_states
    net = ac.convert(model, "residual").eval()
    states = list(net.states(inputs))
    assert len(states) == len(theirs)
    for state, wanted in zip(states[:-1], theirs[:-1], strict=True):
        torch.testing.assert_close(net.hidden(state), wanted)
    counted = net.counted(inputs)
    assert counted is not None
    assert torch.equal(counted, inputs["attention_mask"] == 1)
    assert not counted.all()
    assert net.counted(inputs["input_ids"]) is None, "no padding token is known"
