"""Labels as people write them, in every kind of table."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from autocompress.data import DataConfig, TextSplits, load_data
from autocompress.data.labels import check_taught, encode_labels
from autocompress.errors import ConfigError, DataError

pytest.importorskip("tokenizers", reason="needs the extra transformers")


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def rows(values: list[Any], kind: Any = None) -> Any:
    """A ``datasets.Dataset`` of one label column, by way of a table as files hold it."""
    import datasets

    return datasets.Dataset(pa.table({"label": pa.array(values, kind)}))


def encoded(train: list[Any], kind: Any = None, **others: list[Any]) -> Any:
    found = {role: rows(values, kind) for role, values in {"train": train, **others}.items()}
    return encode_labels(found, "label")


# -- values ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "kind", "classes"),
    [
        ([3, 0, 11, 3], pa.int64(), ["0", "3", "11"]),
        ([17, 900, 42, 42], pa.uint16(), ["17", "42", "900"]),
        ([5, 1, 3, 3], pa.int8(), ["1", "3", "5"]),
        ([-1, 1, 1, -1], pa.int64(), ["-1", "1"]),
        ([-1, 0, 1, 0], pa.int32(), ["-1", "0", "1"]),
        (["spam", "ham", "ham", "spam"], pa.string(), ["ham", "spam"]),
        (["b ", " a", "a", "b"], pa.large_string(), ["a", "b"]),
        (["10", "9", "2", "10"], pa.string(), ["2", "9", "10"]),
        (["1.0", "2.0", "4.0", "1.0"], pa.string(), ["1", "2", "4"]),
        (["007", "7", "07", "7"], pa.string(), ["007", "07", "7"]),
        (["NA", "null", "None", "nan"], pa.string(), ["NA", "None", "nan", "null"]),
        ([True, False, False, True], pa.bool_(), ["False", "True"]),
        ([2.0, 5.0, 2.0, 5.0], pa.float64(), ["2", "5"]),
        ([0.0, -3.0, 0.0, -3.0], pa.float32(), ["-3", "0"]),
        (["x", "y", "y", "x"], pa.dictionary(pa.int8(), pa.string()), ["x", "y"]),
    ],
)
def test_whatever_a_person_calls_labels(values: list[Any], kind: Any, classes: list[str]) -> None:
    kind = kind if not pa.types.is_dictionary(kind) else None
    labels = encoded(values, kind)
    assert labels.classes == classes
    said = [str(int(v)) if isinstance(v, float) else str(v).strip() for v in values]
    said = [word.removesuffix(".0") for word in said]
    assert [labels.classes[n] for n in labels.numbers["train"].tolist()] == said


def test_types_may_differ_between_splits() -> None:
    found = {"train": rows([7, 3, 7]), "test": rows(["3", "7"]), "validation": rows([3.0, 7.0])}
    labels = encode_labels(found, "label")
    assert labels.classes == ["3", "7"]
    assert labels.numbers["test"].tolist() == labels.numbers["validation"].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([1, None, 2, 1], r"row 1 of train has no label in column 'label' \(1 of 4"),
        (["a", "", "b", "  "], r"rows 1, 3 of train have no label"),
        ([1.0, float("nan"), 2.0], "row 1 of train has no label"),
        ([True, False, None], "row 2 of train"),
        ([0.5, 1.0, 1.5], r"fractions \(0.5, 1.5\): numbers to predict, not classes"),
        (["0.5", "1", "2"], r"fractions \(0.5\)"),
        ([4, 4, 4, 4], "all 4 labels of train are 4"),
        (["yes"] * 3, "all 3 labels of train are 'yes'"),
        (
            list(range(300)),
            "holds 300 different values in 300 rows of train: these are not classes",
        ),
        ([[1], [2]], "label column 'label' holds"),
    ],
)
def test_what_is_no_label_says_why(values: list[Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        encoded(values)


# -- splits ----------------------------------------------------------------------------------------


def test_classes_of_one_split_are_listed() -> None:
    train, test = ["cat", "dog", "emu"] * 2, ["cat", "Dog", "dog", "fox", "fox"]
    with pytest.raises(
        DataError, match=r"only in train: emu \(2 rows\); only in test: Dog \(1 rows\), fox \(2"
    ):
        encoded(train, test=test)
    with pytest.raises(DataError, match=r"not in train: 9"):
        encoded([0, 1], validation=[0, 1, 9], test=[1, 0, 9])
    apart = encoded([0, 1, 9], validation=[0, 1, 9], test=[0, 1])
    assert apart.classes == ["0", "1", "9"]


@pytest.mark.parametrize("hidden", [[-1, -1], [None, None]])
def test_hidden_labels(hidden: list[Any]) -> None:
    labels = encoded([4, 7, 4], test=hidden)
    assert set(labels.numbers) == {"train"}
    assert labels.notes["test"].startswith("the set's test split is unlabelled (")
    signs = encoded([-1, 1, 1], test=[-1, -1], validation=[1, 1])
    assert signs.numbers["test"].tolist() == [0, 0]  # a class of train hides nothing


def test_declared_names_in_another_order() -> None:
    import datasets

    def some(names: list[str], values: list[str]) -> Any:
        features = datasets.Features({"label": datasets.ClassLabel(names=names)})
        return datasets.Dataset.from_dict({"label": values}, features)

    found = {
        "train": some(["dog", "cat", "eel"], ["dog", "cat"]),
        "test": some(["cat", "dog"], ["cat", "dog"]),
    }
    labels = encode_labels(found, "label")
    assert labels.numbers["test"].tolist() == [1, 0]
    assert labels.remarks == ["classes without an example, which nothing teaches: eel"]
    found["test"] = some(["cat", "eel"], ["cat", "eel"])
    with pytest.raises(DataError, match="without an example in train, but in test: eel"):
        encode_labels(found, "label")
    found["test"] = some(["cat", "fox"], ["cat", "fox"])
    with pytest.raises(DataError, match="classes that train does not name, in test: fox"):
        encode_labels(found, "label")


def test_classes_too_rare_to_be_split() -> None:
    labels = {"train": torch.tensor([0, 0]), "test": torch.tensor([0, 1])}
    with pytest.raises(DataError, match="train has no example of rare, only other splits have"):
        check_taught(labels, ["common", "rare"])
    labels["train"] = torch.tensor([0, 1, 2])
    assert check_taught(labels, ["a", "b", "c"]) == ["test has no example of c"]


# -- whole tables ----------------------------------------------------------------------------------

TEXTS = ["good film", "null", "poor show", "NA", "fine play", "None", "bad plot", "nan", "n/a"]
Write = Callable[[Path, dict[str, list[Any]]], None]


def as_csv(mark: str = ",", encoding: str = "utf-8", end: str = "\n") -> Write:
    def write(path: Path, columns: dict[str, list[Any]]) -> None:
        lines = [mark.join(columns), *(mark.join(map(str, row)) for row in zip(*columns.values()))]  # noqa: B905
        path.write_bytes((end.join(lines) + end).encode(encoding))

    return write


def as_jsonl(path: Path, columns: dict[str, list[Any]]) -> None:
    records = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    path.write_text("\n".join(map(json.dumps, records)))


def as_parquet(path: Path, columns: dict[str, list[Any]]) -> None:
    pq.write_table(pa.table(columns), path)


TABLES: dict[str, tuple[str, Write]] = {
    "csv": ("t.csv", as_csv()),
    "csv of a spreadsheet": ("t.csv", as_csv(";", "utf-8-sig", "\r\n")),
    "csv in capitals": ("T.CSV", as_csv("|")),
    "unicode text": ("t.csv", as_csv("\t", "utf-16")),
    "tsv": ("t.tsv", as_csv("\t")),
    "jsonl": ("t.jsonl", as_jsonl),
    "parquet": ("t.parquet", as_parquet),
}


def classified(path: Path, **options: Any) -> TextSplits:
    options = {"vocabulary": 60, "length": 16, **options}
    data = load_data(DataConfig(task="text-classification", name=str(path), **options))
    assert isinstance(data, TextSplits)
    return data


def pairs(data: TextSplits) -> set[tuple[str, str]]:
    found = set()
    for source in (data.train, data.validation, data.test):
        for ids, labels in source.batches(50):
            for row, label in zip(ids, labels, strict=True):
                words = data.tokenizer.decode([i for i in row.tolist() if i > 4])
                found.add((words.replace(" / ", "/"), data.classes[int(label)]))
    return found


@pytest.mark.parametrize(("name", "write"), TABLES.values(), ids=TABLES)
@pytest.mark.parametrize("words", [["plus", "minus"], [3, 8], [-1, 1], [True, False]], ids=str)
def test_every_table_gives_the_same(
    name: str, write: Write, words: list[Any], tmp_path: Path
) -> None:
    texts = [TEXTS[i % len(TEXTS)] for i in range(90)]
    labels = [words[i % len(TEXTS) % 2] for i in range(90)]
    write(tmp_path / name, {"Label": labels, "Text": texts, "id": list(range(90))})
    data = classified(tmp_path / name)
    assert data.classes == [str(word) for word in sorted(words)]
    assert sum(data.sizes.values()) == 90
    expected = {(t.lower(), str(label)) for t, label in zip(texts, labels, strict=True)}
    assert pairs(data) == expected
    assert sum(sum(counts.values()) for counts in data.description["examples"].values()) == 90


def test_columns_of_other_names(tmp_path: Path) -> None:
    texts = [TEXTS[i % 9] for i in range(60)]
    kinds = ["praise", "blame"] * 30
    as_csv()(tmp_path / "a.csv", {"Review": texts, "Sentiment": kinds})
    assert classified(tmp_path / "a.csv").classes == ["blame", "praise"]
    as_csv()(tmp_path / "b.csv", {"remark": texts, "verdict": [2, 4] * 30, "id": range(60)})  # type: ignore[dict-item]
    assert classified(tmp_path / "b.csv").classes == ["2", "4"]
    as_csv()(tmp_path / "c.csv", {"remark": texts, "verdict": kinds})
    with pytest.raises(DataError, match=r"several columns hold texts \(remark, verdict\)"):
        classified(tmp_path / "c.csv")
    named = classified(tmp_path / "c.csv", label_column="verdict")
    assert named.classes == classified(tmp_path / "c.csv", text_column="remark").classes
    mails = [f"{text} {number}" for number, text in enumerate(texts)]
    as_csv()(tmp_path / "plain.csv", {"id": range(60), "remark": mails, "verdict": kinds})  # type: ignore[dict-item]
    plain = classified(tmp_path / "plain.csv")  # two words in 30 rows each, beside 60 texts
    assert plain.classes == ["blame", "praise"]
    assert "the labels are taken from column 'verdict'" in plain.description["remarks"]
    as_csv()(tmp_path / "d.csv", {"text": texts, "one": kinds, "other": kinds})
    with pytest.raises(DataError, match="choose one of one, other with data.label_column"):
        classified(tmp_path / "d.csv")


def test_a_test_file_without_labels(tmp_path: Path) -> None:
    texts = [TEXTS[i % 9] for i in range(60)]
    as_csv()(tmp_path / "train.csv", {"text": texts, "label": ["x", "y"] * 30})
    as_csv()(tmp_path / "test.csv", {"text": texts[:5], "id": [1, 2, 3, 4, 5]})
    data = classified(tmp_path)
    assert sum(data.sizes.values()) == 60
    assert data.description["origin"]["test"].startswith("the set's test split is unlabelled")


def test_splits_of_two_kinds(tmp_path: Path) -> None:
    columns = {"text": TEXTS, "label": [i % 2 for i in range(9)]}
    as_csv()(tmp_path / "train.csv", columns)
    as_csv("\t")(tmp_path / "test.tsv", columns)
    with pytest.raises(DataError, match=r"splits of several kinds \(train.csv, test.tsv\)"):
        classified(tmp_path)


# -- lines that do not fit -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", "text,label\ngood,1\nbad, really,0\n", r"a.csv line 3 has 3 cells, expected 2"),
        ("a.csv", "text,label\ngood,1\nbad\n", r"a.csv line 3 has 1 cells, expected 2 \(text, la"),
        ("a.csv", 'text,label\n"good,1\nbad,0\n', r"a.csv line 3 cannot be read"),
        ("a.csv", 'text,label\n"a "b" c",1\nbad,0\n', r"a.csv line 2 cannot be read"),
        ("a.csv", "good film,1\nbad plot,0\n", r"has no names of columns: its first line is good"),
        ("a.csv", "text,text,label\na,b,1\n", "two columns 'text'"),
        ("a.csv", "text,label\n", "the train split of .* is empty"),
        ("a.jsonl", '{"text": "a", "label": 1}\n{"text": \n', "a.jsonl line 2 is not JSON"),
        ("a.jsonl", "[1, 2]\n", "a.jsonl line 1 is not a JSON object"),
        ("a.jsonl", '[\n{"text": "a"}\n]\n', "line 1 is not JSON.*one object in each line"),
        ("a.jsonl", "[" * 100_000 + "\n", "a.jsonl line 1 is not JSON"),
    ],
)
def test_lines_that_do_not_fit_are_named(
    name: str, content: str, words: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=words):
        classified(tmp_path / name)


def test_quotes(tmp_path: Path) -> None:
    rows = [f'"a ""good"", long\nfilm {i}",x' for i in range(20)] + ["bad,y,", ""] * 20
    (tmp_path / "a.csv").write_text("\n".join(["text,label", *rows]))
    data = classified(tmp_path / "a.csv", length=32)
    assert sum(data.sizes.values()) == 40
    raw = [f'"scare" quotes {i}\tx' for i in range(20)] + ['5" disc\ty', '"unclosed\ty'] * 10
    (tmp_path / "a.tsv").write_text("\n".join(["text\tlabel", *raw]))
    data = classified(tmp_path / "a.tsv", length=32)
    assert sum(data.sizes.values()) == 40
    assert data.classes == ["x", "y"]


def test_a_changed_file_is_read_anew(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    as_csv()(file, {"text": TEXTS * 4, "label": ["x", "y", "y"] * 12})
    assert classified(file).classes == ["x", "y"]
    as_csv()(file, {"text": TEXTS * 4, "label": ["x", "z", "z"] * 12})
    assert classified(file).classes == ["x", "z"]


# -- images ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "classes", "chosen"),
    [
        (["oak", "elm", "fir"] * 10, ["elm", "fir", "oak"], (2, 0)),
        ([17, 900, 42] * 10, ["17", "42", "900"], (900, 17)),
        ([True, False] * 15, ["False", "True"], (1, 0)),
    ],
)
def test_tables_of_images(
    labels: list[Any], classes: list[str], chosen: tuple[int, ...], tmp_path: Path
) -> None:
    import io

    pictures = []
    for i in range(30):
        file = io.BytesIO()
        Image.fromarray(np.full((4, 4), i, dtype=np.uint8)).save(file, "PNG")
        pictures.append({"bytes": file.getvalue(), "path": None})
    (tmp_path / "data").mkdir()
    as_parquet(tmp_path / "data" / "train-0-of-1.parquet", {"picture": pictures, "Class": labels})
    config = DataConfig(name=str(tmp_path))
    data = load_data(config)
    assert data.classes == classes
    for source in (data.train, data.validation, data.test):
        for images, numbers in source.batches(9):
            for image, number in zip(images, numbers, strict=True):
                assert classes[int(number)] == str(labels[int(image[0, 0, 0])])
    only = load_data(DataConfig(name=str(tmp_path), classes=chosen))
    names = [str(c) if str(c) in classes else classes[c] for c in chosen]
    assert only.classes == names
    with pytest.raises(ConfigError, match="data.classes names 5; the classes of this set are"):
        load_data(DataConfig(name=str(tmp_path), classes=(5, chosen[0])))


# -- the same example in two splits ----------------------------------------------------------------


def test_texts_of_train_in_another_split_are_counted(tmp_path: Path) -> None:
    texts = [f"{word} number {i}" for i in range(20) for word in ("good", "bad")]
    as_csv()(tmp_path / "train.csv", {"text": texts, "label": ["x", "y"] * 20})
    others = ["new words", texts[4], "other words", texts[5], texts[5]]
    as_csv()(tmp_path / "test.csv", {"text": others, "label": list("xyxyx")})
    remarks = classified(tmp_path).description["remarks"]
    assert "3 of 5 texts of test are also in train, e.g. number 1" in remarks


def test_images_of_train_in_another_split_are_counted(tmp_path: Path) -> None:
    import io

    def some(levels: list[int]) -> dict[str, list[Any]]:
        files = [io.BytesIO() for _ in levels]
        for level, file in zip(levels, files, strict=True):
            Image.fromarray(np.full((4, 4), level, dtype=np.uint8)).save(file, "PNG")
        cells = [{"bytes": file.getvalue(), "path": None} for file in files]
        return {"image": cells, "label": [i % 2 for i in range(len(levels))]}

    as_parquet(tmp_path / "train.parquet", some(list(range(40))))
    as_parquet(tmp_path / "test.parquet", some([200, 201, 7]))
    as_parquet(tmp_path / "validation.parquet", some([100, 101]))
    remarks = load_data(DataConfig(name=str(tmp_path))).description["remarks"]
    assert remarks == ["1 of 3 images of test are also in train, e.g. number 2"]
