"""The whole road from texts: words, then a task; what may start from what."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import autocompress as ac
from autocompress.cli import main
from autocompress.errors import ConfigError, DataError
from autocompress.pipeline import ModelConfig, RunConfig, build_network, load_for, resolve
from autocompress.report import load_report
from texts import write_corpus, write_sentences

pytest.importorskip("tokenizers", reason="needs the extra transformers")

FIT = ["--fit.epochs", "2", "--fit.warmup_epochs", "0.2", "--fit.lr", "0.005"]
FIT += ["--fit.label_smoothing", "0", "--fit.batch_size", "16"]
TINY = ["--model.depth", "2", "--model.width", "16", "--model.heads", "2"]


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    import datasets

    before = datasets.config.HF_DATASETS_CACHE
    datasets.config.HF_DATASETS_CACHE = tmp_path_factory.mktemp("cache")
    yield
    datasets.config.HF_DATASETS_CACHE = before


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus"), train=60)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sentences(tmp_path_factory.mktemp("labelled"))


#: ACNs of few steps whose attention keeps its skip learn from annealing.
ANNEALED = ("--path", "anneal")


def words(corpus: Path, task: str = "masked-lm") -> list[str]:
    said = ["--data.task", task, "--data.name", str(corpus), "--data.vocabulary", "100"]
    return [*said, "--data.length", "16", *FIT]


def task(labelled: Path) -> list[str]:
    said = ["--data.task", "text-classification", "--data.name", str(labelled)]
    return [*said, "--data.test_split", "validation", *FIT]


def trained(folder: Path, *options: str) -> Path:
    assert main(["train", *options, "--output", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def pretrained(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """RUN of an ACN encoder that has learned words."""
    folder = tmp_path_factory.mktemp("runs") / "words"
    return trained(folder, *words(corpus), "--model.name", "encoder", *TINY, *ANNEALED)


@pytest.fixture(scope="module")
def residual(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same of a residual one."""
    folder = tmp_path_factory.mktemp("runs") / "residual"
    rule = ["--model.connectivity", "residual"]
    return trained(folder, *words(corpus), "--model.name", "encoder", *TINY, *rule)


def test_masked_words_are_learned_and_every_depth_is_scored(pretrained: Path) -> None:
    lines = [json.loads(line) for line in (pretrained / "metrics.jsonl").read_text().splitlines()]
    assert [len(line["depths"]) for line in lines] == [3, 3]
    assert [len(line["losses"]) for line in lines] == [3, 3]
    assert lines[1]["losses"][-1] < lines[0]["losses"][-1]
    files = {file.name for file in (pretrained / "model").iterdir()}
    assert files == {"README.md", "config.json", "model.safetensors", "tokenizer.json"}
    net = ac.load(pretrained / "model")
    assert net.tokenizer == (pretrained / "model" / "tokenizer.json").read_text()
    assert net.cut(1).tokenizer == net.tokenizer


def test_a_resumed_run_equals_one_that_was_never_stopped(
    corpus: Path, pretrained: Path, tmp_path: Path
) -> None:
    options = [*words(corpus), "--model.name", "encoder", *TINY, *ANNEALED]
    config = RunConfig(**_parsed(pretrained))
    data = load_for(config)
    net = build_network(config.model, data, 0)
    stopping = _StopsAfter(data.train, epochs=1)
    with pytest.raises(ac.errors.InterruptedRunError):
        ac.fit(
            net, stopping, data.validation, config.fit, augment=config.augment, run=tmp_path / "r"
        )
    (tmp_path / "r" / "config.yaml").write_text((pretrained / "config.yaml").read_text())
    assert main(["train", *options, "--output", str(tmp_path / "r"), "--resume", "true"]) == 0
    once, twice = (
        ac.load(folder / "model").state_dict() for folder in (pretrained, tmp_path / "r")
    )
    assert all(torch.equal(once[key], twice[key]) for key in once)


def _parsed(run: Path) -> dict[str, object]:
    from autocompress.pipeline import read_config

    return vars(read_config(run / "config.yaml"))


class _StopsAfter:
    """A source in whose next epoch but ``epochs`` the user presses Ctrl-C."""

    def __init__(self, inner: object, epochs: int) -> None:
        self.inner, self.left = inner, epochs

    def __len__(self) -> int:
        return len(self.inner)  # type: ignore[arg-type]

    def to(self, device: object) -> _StopsAfter:
        return self

    def batches(self, batch_size, order=None):  # type: ignore[no-untyped-def]
        self.left -= 1
        for i, batch in enumerate(self.inner.batches(batch_size, order)):  # type: ignore[attr-defined]
            if self.left < 0 and i == 1:
                raise KeyboardInterrupt
            yield batch


def test_from_words_to_a_task_and_a_smaller_network(
    labelled: Path, pretrained: Path, residual: Path, tmp_path: Path
) -> None:
    options = [*task(labelled), "--model.init", str(pretrained), "--control_init", str(residual)]
    options += ["--heal", "0"]  # so that the small network is a depth of the large one
    options += ["--fit.epochs", "8", "--fit.lr", "0.01"]
    assert main(["compress", *options, "--output", str(tmp_path / "out")]) == 0
    report = load_report(tmp_path / "out" / "report.json")
    assert report["task"]["metric"] == "accuracy"
    assert report["task"]["test"] == 60
    assert report["full"]["test"] is not None
    assert report["full"]["test"] > 0.9
    assert report["checks"]["small_vs_probe_max_abs_difference"] == 0.0
    assert report["baseline"] is not None
    assert report["shallow"] is not None
    assert report["shallow"]["depth"] == report["selected"]
    small, net = ac.load(tmp_path / "out" / "small"), ac.load(tmp_path / "out" / "model")
    ids = torch.tensor([[2, 20, 30, 3, 0, 0, 0, 0]])
    assert torch.equal(small(ids), net(ids, depth=small.depth))
    before = ac.load(pretrained / "model").tokenizer
    assert before is not None
    assert small.tokenizer is not None
    assert ac.data.Tokenizer(small.tokenizer).core == ac.data.Tokenizer(before).core
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(tmp_path / "out" / "small.onnx")
    wide = torch.nn.functional.pad(ids, (0, 8))  # data.length
    (logits,) = session.run(None, {"ids": wide.numpy()})
    torch.testing.assert_close(torch.from_numpy(logits), small(ids), atol=1e-4, rtol=1e-4)
    assert main(["probe", str(tmp_path / "out"), "--split", "test"]) == 0


def test_residual_rivals_need_residual_weights(
    labelled: Path, pretrained: Path, residual: Path, tmp_path: Path, no_onnx: None
) -> None:
    config = RunConfig(model=ModelConfig(init=str(pretrained)), control_init=str(residual))
    assert config.rival(1).model.init == str(residual)
    assert resolve(config).rivals
    assert not resolve(RunConfig(model=ModelConfig(init=str(pretrained)))).rivals
    assert resolve(RunConfig(model=ModelConfig(init=str(residual)))).rivals
    assert resolve(RunConfig()).rivals
    options = [*task(labelled), "--fit.epochs", "1", "--model.init", str(pretrained)]
    assert main(["compress", *options, "--output", str(tmp_path / "out")]) == 0
    report = load_report(tmp_path / "out" / "report.json")
    assert report["baseline"] is report["shallow"] is None


def test_a_decoder_from_text(corpus: Path, tmp_path: Path) -> None:
    run = trained(tmp_path / "run", *words(corpus, "causal-lm"), "--model.name", "decoder", *TINY)
    net = ac.load(run / "model")
    assert isinstance(net, ac.models.Decoder)
    tokenizer = ac.data.Tokenizer(net.tokenizer or "")
    prompt = torch.tensor(tokenizer.encode(["good film and"]))
    text = tokenizer.decode(ac.generate(net, prompt, 4).ids[0].tolist())
    assert text.startswith("good film and")
    assert main(["probe", str(run)]) == 0


def load(labelled: Path, **options: object) -> ac.data.TextSplits:
    options = {"test_split": "validation", "vocabulary": 100, **options}
    config = ac.DataConfig(task="text-classification", name=str(labelled), **options)  # type: ignore[arg-type]
    data = ac.load_data(config)
    assert isinstance(data, ac.data.TextSplits)
    return data


def test_what_does_not_go_together(
    labelled: Path, corpus: Path, pretrained: Path, tmp_path: Path
) -> None:
    own = load(labelled, tokenizer=str(pretrained), length=16)
    with pytest.raises(
        ConfigError, match="'mixer' is for image, .*; data.task is text-classification"
    ):
        build_network(ModelConfig(name="mixer"), own, 0)
    data = ac.load_data(ac.DataConfig(task="causal-lm", name=str(corpus), length=16))
    with pytest.raises(ConfigError, match="'encoder' is for masked-lm, text-classification"):
        build_network(ModelConfig(name="encoder"), data, 0)
    three = ac.models.Encoder(depth=1, width=8, vocabulary=100, classes=3, length=16)
    ac.save(three, tmp_path / "three")
    with pytest.raises(ConfigError, match="three has 3 classes, the data 2"):
        build_network(ModelConfig(init=str(tmp_path / "three")), own, 0)
    small = ac.models.Encoder(depth=1, width=8, vocabulary=20, length=16)
    ac.save(small, tmp_path / "small")
    with pytest.raises(ConfigError, match=r"has \d+ tokens, the network's vocabulary 20"):
        build_network(ModelConfig(init=str(tmp_path / "small")), own, 0)
    long = load(labelled, tokenizer=str(pretrained), length=32)
    with pytest.raises(ConfigError, match=r"data.length 32: the network has positions for 16"):
        build_network(ModelConfig(init=str(pretrained)), long, 0)
    other = RunConfig(
        data=ac.DataConfig(task="masked-lm", name=str(corpus), tokenizer=str(tmp_path)),
        model=ModelConfig(init=str(pretrained)),
    )
    (tmp_path / "tokenizer.json").write_text(load(labelled).tokenizer.text)
    with pytest.raises(ConfigError, match="is not that of .*; leave it out to take its own"):
        load_for(other)
    flips = RunConfig(data=other.data, augment=ac.AugmentConfig(flip=True))
    with pytest.raises(ConfigError, match="augment is for images; data.task is 'masked-lm'"):
        load_for(flips)
    with pytest.raises(DataError, match="no tokenizer at"):
        load_for(
            RunConfig(
                data=ac.DataConfig(task="masked-lm", name=str(corpus)),
                model=ModelConfig(init=str(tmp_path / "small")),
            )
        )


# -- transformers ----------------------------------------------------------------------------------

BERT = '{"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, '
BERT += '"intermediate_size": 32, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}'


def test_a_converted_bert_from_words_to_a_task(
    corpus: Path, labelled: Path, tmp_path: Path
) -> None:
    pytest.importorskip("transformers")
    source = ["--model.source", "hf:bert", "--model.arguments", BERT]
    run = trained(tmp_path / "words", *words(corpus), *source)
    net = ac.load(run / "model")
    assert net.config["source"] == "hf:BertForMaskedLM"
    assert net.preprocess == {"pad": 0}
    ids = torch.tensor([[2, 20, 30, 3, 0, 0], [2, 20, 30, 40, 21, 3]])
    for long, short in zip(net.readouts(ids), net.readouts(ids[:1, :4]), strict=True):
        torch.testing.assert_close(long[0, :4], short[0], atol=1e-5, rtol=1e-5)
    options = [*task(labelled), "--model.init", str(run), "--fit.epochs", "1"]
    tuned = ac.load(trained(tmp_path / "task", *options) / "model")
    assert tuned.config["source"] == "hf:BertForSequenceClassification"
    for depth, readout in enumerate(tuned.readouts(ids)):
        assert torch.equal(readout, tuned.cut(depth)(ids))
    untrained = build_network(
        ModelConfig(init=str(run)), load_for(RunConfig(**_parsed(tmp_path / "task"))), 0
    )
    assert isinstance(net, ac.Converted)
    assert isinstance(untrained, ac.Converted)
    mine, theirs = (one.model.base_model.state_dict() for one in (untrained, net))  # type: ignore[union-attr]
    assert all(torch.equal(mine[key], theirs[key]) for key in theirs)


@pytest.mark.parametrize(
    ("source", "task", "arguments"),
    [
        ("hf:gpt2", "causal-lm", {"n_embd": 16, "n_layer": 2, "n_head": 2}),
        ("hf:bert", "causal-lm", json.loads(BERT)),
        ("hf:roberta", "masked-lm", json.loads(BERT)),
    ],
)
def test_converted_networks_are_built_for_the_task(
    source: str, task: str, arguments: dict[str, object], corpus: Path
) -> None:
    """As many places as the rows have tokens, and only a causal one is blind to what comes."""
    pytest.importorskip("transformers")
    config = ac.DataConfig(task=task, name=str(corpus), vocabulary=100, length=16)  # type: ignore[arg-type]
    data = ac.load_data(config)
    net = build_network(ModelConfig(source=source, arguments=arguments), data, 0).eval()
    ids, _ = next(data.train.batches(4))
    assert ids.shape == (4, 16)
    other = ids.clone()
    other[:, -1] = torch.where(ids[:, -1] == 30, 31, 30)
    same = torch.allclose(net(ids)[:, 0], net(other)[:, 0], atol=1e-6)
    assert same == (task == "causal-lm")


def test_a_checkpoint_of_transformers(labelled: Path, pretrained: Path, tmp_path: Path) -> None:
    """Its tokenizer is taken along; the head for the task is new."""
    transformers = pytest.importorskip("transformers")
    arguments = json.loads(BERT) | {"vocab_size": 100, "max_position_embeddings": 24}
    torch.manual_seed(0)
    theirs = transformers.BertForMaskedLM(transformers.BertConfig(**arguments))
    theirs.save_pretrained(tmp_path / "bert")
    text = (pretrained / "model" / "tokenizer.json").read_text()
    (tmp_path / "bert" / "tokenizer.json").write_text(text)
    config = RunConfig(
        data=ac.DataConfig(task="text-classification", name=str(labelled)),
        model=ModelConfig(init=f"hf:{tmp_path / 'bert'}", connectivity="residual"),
    )
    data = load_for(config)
    assert isinstance(data, ac.data.TextSplits)
    assert (data.tokenizer.core, data.length) == (ac.data.Tokenizer(text).core, 24)
    net = build_network(config.model, data, 0)
    assert net.classes == 2
    assert isinstance(net, ac.Converted)
    mine: dict[str, torch.Tensor] = net.model.base_model.encoder.state_dict()  # type: ignore[union-attr, operator]
    assert all(torch.equal(mine[k], v) for k, v in theirs.base_model.encoder.state_dict().items())
    words = RunConfig(data=ac.DataConfig(task="causal-lm", name=str(labelled)), model=config.model)
    with pytest.raises(ConfigError, match="BertForMaskedLM.*not a network for causal-lm"):
        build_network(words.model, load_for(words), 0)
