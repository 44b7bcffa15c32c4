"""``load_data`` of texts: files, columns, splits, and what cannot be used."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

import autocompress as ac
from autocompress.data import TextSplits
from autocompress.errors import ConfigError, DataError, UnknownNameError
from texts import passages, sentences, write_corpus, write_sentences

pytest.importorskip("tokenizers", reason="needs the extra transformers")


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    import datasets

    before = datasets.config.HF_DATASETS_CACHE
    datasets.config.HF_DATASETS_CACHE = tmp_path_factory.mktemp("cache")
    yield
    datasets.config.HF_DATASETS_CACHE = before


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sentences(tmp_path_factory.mktemp("labelled"))


def load(name: Path | str, task: str = "masked-lm", **options: object) -> TextSplits:
    options = {"vocabulary": 100, "length": 16, **options}
    data = ac.load_data(ac.DataConfig(name=str(name), task=task, **options))  # type: ignore[arg-type]
    assert isinstance(data, TextSplits)
    return data


def classified(name: Path | str, **options: object) -> TextSplits:
    return load(name, "text-classification", **options)


def read(data: TextSplits, split: str = "train") -> list[str]:
    """The texts of a split again."""
    batches = getattr(data, split).batches(64)
    return [data.tokenizer.decode(row) for ids, _ in batches for row in ids.tolist()]


# -- corpora ---------------------------------------------------------------------------------------


def test_a_corpus_is_all_its_text_in_order(corpus: Path) -> None:
    data = load(corpus, "causal-lm")
    tokens = [i for text in data.tokenizer.encode(passages(120)) for i in (*text, 3)]
    rows = torch.cat([ids for ids, _ in data.train.batches(7)])
    last = torch.cat([labels[:, -1:] for _, labels in data.train.batches(7)])
    assert torch.cat([rows, last], 1).flatten().tolist() == tokens[: len(tokens) // 17 * 17]
    assert data.metric == "next-token accuracy"
    assert data.arguments == {"vocabulary": data.tokenizer.size, "length": 16}


def test_rows_of_a_masked_corpus_begin_with_the_first_token(corpus: Path) -> None:
    data = load(corpus)
    inputs, labels = next(data.validation.batches(1000))
    assert inputs.shape[1] == 16
    assert (inputs[:, 0] == 2).all()
    assert (labels[:, 0] == -100).all()
    original = torch.where(labels == -100, inputs, labels)
    tokens = [i for text in data.tokenizer.encode(passages(16, seed=1)) for i in (*text, 3)]
    assert original[:, 1:].flatten().tolist() == tokens[: len(original) * 15]
    assert data.arguments["classes"] is None


def test_a_large_corpus_stays_in_its_file(corpus: Path) -> None:
    """The same batches in the same order: what does not fit in memory trains alike."""
    small, large = load(corpus, "causal-lm"), load(corpus, "causal-lm", device_limit_mb=0)
    assert small.train.rows.resident
    assert not large.to("cpu").train.rows.resident
    order = torch.randperm(len(small.train))
    for a, b in zip(
        small.train.batches(8, order), large.to("cpu").train.batches(8, order), strict=True
    ):
        assert torch.equal(a[0], b[0])


def test_plain_text_csv_and_parquet_are_the_same(corpus: Path, tmp_path: Path) -> None:
    texts = passages(120)
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "one.txt").write_text("\n\n".join(texts[:70]))
    (tmp_path / "plain" / "two.txt").write_text("\n\n".join(texts[70:]))
    (tmp_path / "one.csv").write_text("text\n" + "\n".join(f'"{text}"' for text in texts))
    pq.write_table(pa.table({"text": texts}), tmp_path / "one.parquet")
    found = [load(tmp_path / name, "causal-lm") for name in ("plain", "one.csv", "one.parquet")]
    assert len({data.tokenizer.text for data in found}) == 1
    assert read(found[0]) == read(found[1]) == read(found[2])
    sizes = found[0].sizes
    assert sizes["validation"] < sizes["train"]
    assert "20 % of train, seed 0" in found[0].description["origin"]["validation"]


def test_limits(corpus: Path) -> None:
    data = load(corpus, "causal-lm", train_limit=30, validation_limit=4)
    origin = data.description["origin"]
    assert origin["train"] == "30 of 120 texts, seed 0"
    assert origin["validation"] == "the set's own validation split, 4 of 16 texts, seed 0"
    assert len(data.train) < len(load(corpus, "causal-lm").train) / 3


# -- classes ---------------------------------------------------------------------------------------


def test_hidden_labels_and_another_split_as_test(labelled: Path) -> None:
    data = classified(labelled)
    assert data.sizes == {"train": 160, "validation": 60, "test": 40}
    assert "unlabelled (-1): 20 % of train" in data.description["origin"]["test"]
    glue = classified(labelled, test_split="validation")
    assert glue.sizes == {"train": 160, "validation": 40, "test": 60}
    assert read(glue, "test") == sentences(60, seed=1)[0]
    assert glue.test.labels.tolist() == sentences(60, seed=1)[1]
    assert sorted(read(glue) + read(glue, "validation")) == sorted(sentences(200)[0])
    assert glue.arguments["classes"] == 2
    with pytest.raises(DataError, match="'dev' is not a split of .* it has validation, test"):
        classified(labelled, test_split="dev")


def test_pairs(tmp_path: Path) -> None:
    first, labels = sentences(40)
    second, _ = sentences(40, seed=5)
    table = pa.table({"question": first, "answer": second, "label": labels})
    pq.write_table(table, tmp_path / "pairs.parquet")
    names = {"text_column": "question", "second_column": "answer"}
    data = classified(tmp_path / "pairs.parquet", **names, length=32)
    tokenizer = data.tokenizer
    (a,), (b,) = (tokenizer.encode([text]) for text in (first[0], second[0]))
    parts = (data.train, data.validation, data.test)
    rows = [ids[0][ids[0] != 0].tolist() for part in parts for ids, _ in part.batches(1)]
    assert [2, *a, 3, *b, 3] in rows
    with pytest.raises(DataError, match=r"several columns hold texts \(question, answer\)"):
        classified(tmp_path / "pairs.parquet")


def test_long_texts_are_cut_only_when_asked(tmp_path: Path) -> None:
    texts, labels = ["good film " * 9, "bad plot"] * 10, [1, 0] * 10
    table = pa.table({"text": texts, "other": ["dull"] * 20, "label": labels})
    pq.write_table(table, tmp_path / "long.parquet")
    with pytest.raises(
        DataError,
        match=r"row \d*[02468] of train has 20 tokens, more than data.length 16, and so have \d "
        r"more of 1\d texts \(the longest: 20\): --data.truncate",
    ):
        classified(tmp_path / "long.parquet")
    cut = classified(tmp_path / "long.parquet", truncate=True)
    assert {len(text.split()) for text in read(cut)} == {14, 2}
    pair = classified(tmp_path / "long.parquet", truncate=True, second_column="other")
    longest = max((ids[0] != 0).sum() for ids, _ in pair.train.batches(1))
    assert longest == 16
    assert all(text.endswith("dull") for text in read(pair))  # the longer of the two is cut


# -- what cannot be used ---------------------------------------------------------------------------


def table_of(tmp_path: Path, **columns: list[object]) -> Path:
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    return tmp_path / "t.parquet"


def test_columns_that_are_not_there(labelled: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no text column 'sentense'; did you mean 'sentence'"):
        classified(labelled, text_column="sentense")
    with pytest.raises(DataError, match="column 'label' holds int64, not texts; the columns are"):
        classified(labelled, text_column="label")
    with pytest.raises(DataError, match="no column holds texts"):
        load(table_of(tmp_path, number=[1, 2, 3]))


def test_texts_that_are_none(tmp_path: Path) -> None:
    good, labels = sentences(20)
    with pytest.raises(DataError, match="row 3 of train has no text in column 'text'"):
        classified(table_of(tmp_path, text=[*good[:3], None, *good[4:]], label=labels))
    with pytest.raises(DataError, match="row 3 of train has a text without a word in it"):
        classified(table_of(tmp_path, text=[*good[:3], "  ", *good[4:]], label=labels))
    with pytest.raises(DataError, match="no text to train a tokenizer on"):
        load(table_of(tmp_path, text=[" ", ""] * 10))
    (tmp_path / "empty.txt").write_text("")
    with pytest.raises(DataError, match="the train split of .* is empty"):
        load(tmp_path / "empty.txt")
    with pytest.raises(
        DataError, match=r"train has 9 tokens, less than one row of 15: lower data\.length"
    ):
        load(table_of(tmp_path, text=["good film"] * 5))


@pytest.mark.parametrize("name", ["latin.txt", "latin.csv"])
def test_other_encodings(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"text\n" + "caf\u00e9 au lait".encode("latin1") * 20)
    with pytest.raises(DataError, match=rf"{name} is not UTF-8 \(byte b'\\xe9' at about 8\)"):
        load(tmp_path / name)


def test_labels_outside_the_classes(tmp_path: Path) -> None:
    texts, labels = sentences(40)
    pq.write_table(pa.table({"text": texts, "label": labels}), tmp_path / "train.parquet")
    pq.write_table(pa.table({"text": texts, "label": [2] * 40}), tmp_path / "test.parquet")
    with pytest.raises(DataError, match=r"only in train: 0 .*; only in test: 2 \(40 rows\)"):
        classified(tmp_path)


def test_names_and_options(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"data\.task 'masked'"):
        ac.DataConfig(task="masked")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"data\.image_size is for images"):
        ac.DataConfig(task="masked-lm", image_size=8)
    with pytest.raises(ConfigError, match=r"data\.tokenizer is for texts"):
        ac.DataConfig(tokenizer="here")
    with pytest.raises(ConfigError, match=r"data\.second_column is for .* text-classification"):
        ac.DataConfig(task="causal-lm", second_column="b")
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(DataError, match=r"no \.parquet, \.csv, .* or \.txt file"):
        load(tmp_path / "a.json")
    with pytest.raises(DataError, match="no tokenizer at"):
        load(corpus, tokenizer=str(tmp_path))


def test_a_hub_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    def fail(*_: object, **__: object) -> None:
        raise ConnectionError("Couldn't reach")

    monkeypatch.setattr(datasets, "load_dataset", fail)
    with pytest.raises(DataError, match="'nyu-mll/glue:sst2': the hub could not be reached"):
        classified("nyu-mll/glue:sst2")


def test_real_sets(shared_data: Path) -> None:
    sst2 = classified(
        shared_data / "sst2", test_split="validation", train_limit=500, length=64, vocabulary=500,
        truncate=True,
    )  # fmt: skip
    assert sst2.sizes == {"train": 400, "validation": 100, "test": 872}
    rte = classified(
        shared_data / "rte", text_column="sentence1", second_column="sentence2", vocabulary=500,
        train_limit=500, truncate=True,
    )  # fmt: skip
    assert rte.classes == ["entailment", "not_entailment"]
    assert rte.sizes["validation"] == 277
