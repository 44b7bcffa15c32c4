"""A folder opens where the user works: Auto classes, pipelines, the hub, programs of others."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import timm
import torch
import transformers

import autocompress as ac
from autocompress.errors import CheckpointError, ConfigError
from autocompress.transformers import acn_class
from hosts import host


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("saved") / "net"
    ac.convert(host("hf-bert"), "acn").model.save_pretrained(path)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b"]
    transformers.BertTokenizer(vocab={w: i for i, w in enumerate(words)}).save_pretrained(path)
    return path


def test_a_pipeline_of_a_folder(folder: Path) -> None:
    run = transformers.pipeline("text-classification", model=str(folder))
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder)
    inputs = run.tokenizer("a b a", return_tensors="pt")
    with torch.no_grad():
        expected = model(**inputs).logits[0].softmax(-1)
    found = {row["label"]: row["score"] for row in run("a b a", top_k=None)}
    assert found == pytest.approx({f"LABEL_{n}": v for n, v in enumerate(expected.tolist())})


def test_what_lies_beside_the_weights(folder: Path, tmp_path: Path) -> None:
    written = json.loads((folder / "config.json").read_text())
    assert written["auto_map"]["AutoConfig"] == "modeling_acn.AcnBertConfig"
    name = "AutoModelForSequenceClassification"
    assert written["auto_map"][name] == "modeling_acn.AcnBertForSequenceClassification"
    text = (folder / "modeling_acn.py").read_text()
    assert len(text.splitlines()) < 12
    spec: Any = importlib.util.spec_from_file_location("modeling_acn", folder / "modeling_acn.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    cls = acn_class(transformers.BertForSequenceClassification)
    assert module.AcnBertForSequenceClassification is cls
    card = (folder / "README.md").read_text()
    assert "depth: 4 layers" in card
    assert f"{name}.from_pretrained" in card

    # nothing of a folder is run by us, and what a user writes into the card stays
    (tmp_path / "README.md").write_text("mine")
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder)
    model.save_pretrained(tmp_path)
    assert (tmp_path / "README.md").read_text() == "mine"
    (tmp_path / "modeling_acn.py").write_text("raise SystemExit('run')")
    named = cls.from_pretrained(pretrained_model_name_or_path=tmp_path)
    assert torch.equal(named.classifier.weight, model.classifier.weight)
    for trusted in (None, False, True):
        auto = transformers.AutoModelForSequenceClassification
        again = auto.from_pretrained(tmp_path, trust_remote_code=trusted)
        assert type(again) is cls
    net = ac.convert(f"hf:{tmp_path}")
    assert net.rule() == "acn"
    assert torch.equal(net.model.classifier.weight, model.classifier.weight)
    plain = tmp_path / "plain"
    ac.restore(ac.convert(f"hf:{tmp_path}", "residual")).save_pretrained(plain)
    assert not (plain / "modeling_acn.py").exists()
    assert "auto_map" not in json.loads((plain / "config.json").read_text())


def test_a_class_of_the_users_own_names_no_module(tmp_path: Path) -> None:
    class Own(transformers.BertModel):
        pass

    ac.convert(Own(host("hf-bert").config).eval(), "acn").model.save_pretrained(tmp_path)
    assert "auto_map" not in json.loads((tmp_path / "config.json").read_text())
    assert not (tmp_path / "modeling_acn.py").exists()


TRUSTING = """
from transformers import AutoModelForSequenceClassification
model = AutoModelForSequenceClassification.from_pretrained(sys.argv[1], trust_remote_code=True)
print(type(model).__qualname__, "autocompress" in sys.modules)
"""


@pytest.mark.slow
def test_a_program_that_imports_nothing_of_ours(folder: Path, tmp_path: Path) -> None:
    command = f"import sys; sys.modules['torchvision'] = None{TRUSTING}"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", command, str(folder)],
        env={**os.environ, "HF_MODULES_CACHE": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["AcnBertForSequenceClassification", "True"], done.stderr


def test_a_backbone(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = transformers.Dinov2Config(
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        image_size=16,
        patch_size=4,
        out_features=["stage1", "stage3"],
    )
    plain, x = transformers.Dinov2Backbone(config).eval(), torch.randn(2, 3, 16, 16)
    model = ac.convert(plain, "residual").model
    model.save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path)
    with torch.no_grad():
        for expected, ours, loaded in zip(
            *(m(x).feature_maps for m in (plain, model, again)), strict=True
        ):
            assert torch.equal(ours, expected)
            assert torch.equal(loaded, expected)
    made = transformers.AutoBackbone.from_config(transformers.AutoConfig.from_pretrained(tmp_path))
    assert type(made) is type(model)


# -- folders of ours -------------------------------------------------------------------------------


def test_the_hub_only_when_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = ac.convert(host("hf-bert"), "acn")
    ac.save(net, tmp_path / "net")
    asked: dict[str, Any] = {}

    def download(repo: str, **options: Any) -> str:
        asked.update(options, repo=repo)
        return str(tmp_path / "net")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match=r"load\('someone/net', hub=True\)"):
        ac.load("someone/net")
    assert not asked
    again = ac.load("someone/net", hub=True)
    assert asked.pop("repo") == "someone/net"
    assert asked == {"allow_patterns": ["config.json", "model.safetensors", "tokenizer.json"]}
    assert all(map(torch.equal, again.state_dict().values(), net.state_dict().values()))


def test_a_tokenizer_that_is_saved_afterwards(folder: Path, tmp_path: Path) -> None:
    """Others read it; the network is the one that was saved, also without its head."""
    net: Any = ac.cut(ac.convert(host("hf-bert"), "acn"), 3)
    ac.save(net, tmp_path)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.save_pretrained(tmp_path)
    assert (tmp_path / "tokenizer.json").exists()
    again: Any = ac.load(tmp_path)
    assert again.tokenizer is None
    assert all(map(torch.equal, again.state_dict().values(), net.state_dict().values()))
    run = transformers.pipeline("text-classification", model=str(tmp_path))
    inputs = tokenizer("a b", return_tensors="pt")
    with torch.no_grad():
        expected = net(**inputs).logits.softmax(-1)[0].tolist()
        states = net.model.bert(**inputs)
    found = {row["label"]: row["score"] for row in run("a b", top_k=None)}
    assert found == pytest.approx({f"LABEL_{n}": value for n, value in enumerate(expected)})

    base = transformers.AutoModel.from_pretrained(tmp_path)
    assert type(base) is acn_class(transformers.BertModel)
    base.save_pretrained(tmp_path / "base")
    for model in (base, transformers.AutoModel.from_pretrained(tmp_path / "base")):
        with torch.no_grad():
            assert torch.equal(model(**inputs)[0], states[0])
    with pytest.raises(ConfigError, match="a BertForSequenceClassification, not a BertForMasked"):
        transformers.AutoModelForMaskedLM.from_pretrained(tmp_path)

    net.tokenizer = (folder / "tokenizer.json").read_text()
    ac.save(net, tmp_path / "whole")  # a tokenizer of the network's own is checked by us alone
    tokenizer.add_tokens(["new"])
    tokenizer.save_pretrained(tmp_path / "whole")
    assert transformers.AutoModel.from_pretrained(tmp_path / "whole").config.num_hidden_layers == 3
    with pytest.raises(CheckpointError, match=r"tokenizer.json was altered"):
        ac.load(tmp_path / "whole")


def test_the_card_has_the_curve(tmp_path: Path) -> None:
    net = ac.models.MLP(depth=2, width=8, classes=3, image_size=2, channels=1)
    data = torch.utils.data.TensorDataset(torch.randn(9, 1, 2, 2), torch.arange(9) % 3)
    curve = ac.probe(net, data)
    ac.save(net.cut(1), tmp_path / "net", curve=curve)
    card = (tmp_path / "net" / "README.md").read_text()
    assert 'connectivity: `"acn"`' in card
    assert f"| 2 | {100 * curve.scores[2]:.2f} |" in card
    assert ac.load(tmp_path / "net").depth == 1
    texts = {"input_ids": torch.randint(3, 40, (6, 5)), "labels": torch.arange(6) % 5}
    rows = [{key: value[n] for key, value in texts.items()} for n in range(6)]
    bert = ac.convert(host("hf-bert"), "acn")
    curve = ac.probe(bert, rows)
    bert.model.save_pretrained(tmp_path / "theirs", curve=curve)
    ac.save_host(bert, tmp_path / "same", curve=curve)
    for name in ("theirs", "same"):
        card = (tmp_path / name / "README.md").read_text()
        assert f"| 2 | {100 * curve.scores[2]:.2f} |" in card
        assert (tmp_path / name / "depth.png").exists()
    bert.cut(1).model.save_pretrained(tmp_path / "theirs")
    assert " of depth 1\n" in (tmp_path / "theirs" / "README.md").read_text()
    bert.set_connectivity("residual")
    with pytest.raises(ConfigError, match="leave it out"):
        ac.save_host(bert, tmp_path / "plain", curve=curve)
    named = ac.convert(host("hf-bert"), "acn")
    named.model.config._name_or_path = "someone/bert"
    ac.save(named, tmp_path / "named")
    assert "base_model: someone/bert" in (tmp_path / "named" / "README.md").read_text()


def test_a_folder_of_transformers_is_told_apart(folder: Path) -> None:
    with pytest.raises(CheckpointError, match="transformers' own: autocompress.convert"):
        ac.load(folder)


def test_timm_knows_our_names_after_a_plain_import() -> None:
    assert timm.is_model("acn_vit_tiny_patch16_224")


WORDS = ["<pad>", "<s>", "</s>", "a", "b", "c"]


def write_words(folder: Path) -> None:
    """Write a tokenizer of a few words."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    words = {word: n for n, word in enumerate(WORDS)}
    tokenizer = Tokenizer(WordLevel(words, unk_token="a"))
    tokenizer.pre_tokenizer = Whitespace()
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    ).save_pretrained(folder)


def test_lm_eval_reads_a_folder(tmp_path: Path) -> None:
    """Its loglikelihoods are those of the logits."""
    models = pytest.importorskip(
        "lm_eval.models.huggingface", reason="lm-eval is not installed (extra: clients)"
    )
    net = ac.convert(host("hf-llama"), "acn")
    net.model.save_pretrained(tmp_path)
    write_words(tmp_path)
    lm = models.HFLM(str(tmp_path), device="cpu", batch_size=2)
    from lm_eval.api.instance import Instance

    asked = [
        Instance("loglikelihood", {}, arguments, n)
        for n, arguments in enumerate([("a b", " c"), ("c", " a b")])
    ]
    found = [value for value, _ in lm.loglikelihood(asked, disable_tqdm=True)]
    for (text, words_after), value in zip([([3, 4], [5]), ([5], [3, 4])], found, strict=True):
        with torch.no_grad():
            logits = net(torch.tensor([text + words_after])).log_softmax(-1)[0]
        places = range(len(text) - 1, len(text) + len(words_after) - 1)
        wanted = sum(float(logits[p, w]) for p, w in zip(places, words_after, strict=True))
        assert value == pytest.approx(wanted, abs=1e-4)


TASK = """task: toy
dataset_path: json
dataset_kwargs: {{data_files: {{validation: {data}}}}}
validation_split: validation
output_type: multiple_choice
doc_to_text: "{{{{text}}}}"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: gold
metric_list: [{{metric: acc, aggregation: mean, higher_is_better: true}}]
"""


@pytest.mark.slow
def test_lm_evals_command_reads_a_folder(tmp_path: Path) -> None:
    """It imports nothing of ours, and opens the folder by the module in it."""
    pytest.importorskip("lm_eval", reason="lm-eval is not installed (extra: clients)")
    net = ac.cut(ac.convert(host("hf-llama"), "acn"), 3)
    net.model.save_pretrained(tmp_path / "net")
    write_words(tmp_path / "net")
    rows = [("a b", ["c", "a"]), ("c", ["b", "a"]), ("b b", ["c", "b"]), ("a", ["a", "c"])]
    docs = [{"text": text, "choices": choices, "gold": 0} for text, choices in rows]
    (tmp_path / "data.jsonl").write_text("\n".join(map(json.dumps, docs)))
    (tmp_path / "toy.yaml").write_text(TASK.format(data=tmp_path / "data.jsonl"))
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['torchvision'] = None")
    given = f"pretrained={tmp_path / 'net'},trust_remote_code=True"
    command = [sys.executable, "-W", "ignore", "-m", "lm_eval", "--model", "hf", "--device", "cpu"]
    command += ["--model_args", given, "--tasks", "toy", "--include_path", str(tmp_path)]
    paths = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    homes = {name: str(tmp_path / "home") for name in ("HF_HOME", "HF_MODULES_CACHE")}
    done = subprocess.run(
        [*command, "--output_path", str(tmp_path / "out.json")],
        env={**os.environ, **homes, "PYTHONPATH": paths, "HF_DATASETS_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    (file,) = tmp_path.glob("**/out*.json")
    found = json.loads(file.read_text())["results"]["toy"]["acc,none"]
    right = []
    for text, choices in rows:
        ids = torch.tensor([list(map(WORDS.index, text.split()))])
        with torch.no_grad():
            last = net(ids)[0, -1]
        one, other = (float(last[WORDS.index(word)]) for word in choices)
        right.append(one > other)
    assert found == sum(right) / 4
