"""``load_data`` for texts: a corpus for language modelling, or sentences by class."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from autocompress.data import columns
from autocompress.data.broken import check_rows, is_blank
from autocompress.data.config import DataConfig, TaskName
from autocompress.data.copies import repeated
from autocompress.data.corpus import TextColumns, encode_corpus, encode_texts
from autocompress.data.describe import by_class
from autocompress.data.labels import check_taught, encode_labels, kept_rows, unlabelled
from autocompress.data.listing import some
from autocompress.data.meaning import Meaning
from autocompress.data.places import shown_name
from autocompress.data.reading import TEXT_FILES, splits_and_remarks
from autocompress.data.registry import TEST_SEED, TEST_SHARE
from autocompress.data.splits import Splits
from autocompress.data.splitting import balanced, stratified
from autocompress.data.text_folders import has_classes_of_texts
from autocompress.data.tokenizer import Tokenizer, read_tokenizer, train_tokenizer, widths
from autocompress.data.tokens import MaskedSource, Masking, NextTokenSource, Packed, TextSource
from autocompress.errors import DataError

__all__ = ["DEFAULT_LENGTH", "TextSplits", "load_text"]

DEFAULT_LENGTH = 128

#: Seeds of the masked words in validation and in test.
_MASKING_SEEDS = {"validation": 1, "test": 2}


@dataclass(frozen=True, kw_only=True)
class TextSplits(Splits):
    """A text data set, ready for training.

    Args:
        task: Task to learn.
        tokenizer: Tokenizer that made the tokens.
        length: Largest number of tokens in a row.
    """

    train: Any
    validation: Any
    test: Any
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    task: TaskName = "masked-lm"
    tokenizer: Tokenizer
    length: int = DEFAULT_LENGTH

    @property
    def metric(self) -> str:
        """Return the name of the score."""
        names = {"masked-lm": "masked accuracy", "causal-lm": "next-token accuracy"}
        return names.get(self.task, "accuracy")

    @property
    def arguments(self) -> dict[str, Any]:
        """Return the constructor arguments of one of our networks for these data."""
        shape: dict[str, Any] = {"vocabulary": self.tokenizer.size, "length": self.length}
        if self.task == "causal-lm":
            return shape
        classes = len(self.classes) if self.task == "text-classification" else None
        return {**shape, "classes": classes, "pad": self.tokenizer.special["pad"]}

    @property
    def preprocess(self) -> dict[str, Any]:
        """Return the token that a converted network must not attend to, if there is one; JSON."""
        pad = self.tokenizer.special.get("pad")
        said = {} if pad is None or self.task == "causal-lm" else {"pad": pad}
        return said if self.texts == 1 else {**said, "texts": self.texts}

    @property
    def texts(self) -> int:
        """Return how many texts make an example: 2 for pairs."""
        return len(self.description.get("columns", "1"))

    @property
    def meaning(self) -> Meaning:
        """Return what the texts and their labels are."""
        names, text = tuple(self.classes), self.tokenizer.text
        return Meaning(self.task, names, tokenizer=text, texts=self.texts)

    def widened(self, inputs: Tensor) -> Tensor:
        """Return tokens (B, N) padded to the greatest length, (B, length)."""
        pad = self.tokenizer.special.get("pad", 0)
        return torch.nn.functional.pad(inputs, (0, self.length - inputs.shape[1]), value=pad)


def load_text(config: DataConfig) -> TextSplits:
    """Return the texts of ``config``, tokenised and split, on the CPU; see :func:`load_data`.

    A corpus is split by its texts; classified texts are stratified by class. The tokenizer is
    trained on train only.

    Raises:
        DataError: As for :func:`load_data`; or texts are blank or too long, or the tokenizer lacks
            a token that the task needs.
        MissingExtraError: ``tokenizers`` is not installed.
    """
    read = _read(config)
    sizes = {role: len(rows) for role, rows in read.found.items()}
    kept, notes = _carved(sizes, read.labels, config, read.notes)
    texts = {
        role: TextColumns(read.found[origin], read.names, origin, rows)
        for role, (origin, rows) in kept.items()
    }
    length = config.length or DEFAULT_LENGTH
    if config.tokenizer is not None:
        tokenizer = read_tokenizer(config.tokenizer)
    else:
        tokenizer = train_tokenizer(texts["train"], config.vocabulary)
    tokenizer = tokenizer.for_task(config.task, length)
    sources: dict[str, Any] = {}
    remarks, examples = list(read.remarks), {}
    if read.labels:
        labels = {role: read.labels[origin][rows] for role, (origin, rows) in kept.items()}
        remarks += check_taught(labels, read.classes)
        for role, each in texts.items():
            sources[role] = _sentences(config, tokenizer, length, each, labels[role])
        remarks += repeated({role: source.rows() for role, source in sources.items()}, "texts")
        examples = by_class(sources, read.classes)
    else:
        sources = {k: _corpus(config, tokenizer, length, each, k) for k, each in texts.items()}
    description = {
        "counts": {role: len(source) for role, source in sources.items()},
        "classes": len(read.classes),
        "examples": examples,
        "columns": list(read.names),
        "tokenizer": {"tokens": tokenizer.size, "origin": tokenizer.name},
        "length": length,
        "origin": {role: notes.get(role, f"the set's own {role} split") for role in sources},
        "remarks": remarks,
    }
    return TextSplits(
        **sources,
        classes=read.classes,
        name=shown_name(config.name),
        description=description,
        task=config.task,
        tokenizer=tokenizer,
        length=length,
    )


@dataclass(frozen=True)
class _Read:
    """The splits that a set has itself.

    Attributes:
        found: Their rows, by the name of the split.
        names: Columns of the texts.
        notes: Notes about splits.
        labels: Numbers of the classes, by split; none for a corpus.
        classes: Names of the classes.
        remarks: Remarks about texts and labels.
    """

    found: dict[str, Any]
    names: list[str]
    notes: dict[str, str]
    labels: dict[str, Tensor] = field(default_factory=dict)
    classes: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def _read(config: DataConfig) -> _Read:
    found, notes, said = _found(config)
    if config.task != "text-classification":
        features = found["train"].features
        names = columns.text_columns(features, config.text_column, config.second_column)
        _check_columns(found, names, config.name)
        return _Read(found, names, notes, remarks=said)
    names, label, inferred = _columns(config, found)
    _check_columns(found, names, config.name)
    left_out: list[str] = []
    if config.skip_broken:
        found, left_out = kept_rows(found, _broken(found, names, label))
    else:
        _check_whole(found, names, label)
    encoded = encode_labels(found, label)
    labelled = {role: found[role] for role in encoded.numbers}
    remarks = [*inferred, *encoded.remarks, *said, *left_out]
    notes |= encoded.notes
    return _Read(labelled, names, notes, encoded.numbers, encoded.classes, remarks)


def _found(config: DataConfig) -> tuple[dict[str, Any], dict[str, str], list[str]]:
    """Return the splits of the set under our names, notes about them, and what is left out."""
    files, path = dict(TEXT_FILES), Path(config.name).expanduser()
    if config.task == "text-classification" and path.is_dir() and has_classes_of_texts(path):
        del files[".txt"]  # a text beside the classes is not a corpus
    found, said = splits_and_remarks(config.name, files)
    notes: dict[str, str] = {}
    wanted = config.test_split
    if wanted is not None:
        if wanted not in found or wanted == "train":
            others = [role for role in found if role != "train"]
            raise DataError(
                f"data.test_split {wanted!r} is not a split of {config.name} that could be test; "
                f"it has {', '.join(others) or 'none beside train'}"
            )
        found = {"train": found["train"], "test": found[wanted]}
        notes["test"] = f"the set's own {wanted} split"
    return found, notes, said


def _check_whole(found: dict[str, Any], names: list[str], label: str) -> None:
    """Raise DataError for rows without a text; rows without a label are named with them."""
    if any(rows for rows in _without_text(found, names).values()):
        check_rows(found, _broken(found, names, label))


def _broken(found: dict[str, Any], names: list[str], label: str) -> dict[str, dict[int, str]]:
    """Return what the rows of every split have that lack a text or a label."""
    bad = _without_text(found, names)
    for role, rows in found.items():
        for row, said in unlabelled(rows, label).items():
            bad[role][row] = f"{bad[role][row]} and {said}" if row in bad[role] else said
    return bad


def _without_text(found: dict[str, Any], names: list[str]) -> dict[str, dict[int, str]]:
    return {
        role: {
            row: "a text without a word in it" if cell else f"no text in column {name!r}"
            for name in names
            for row, cell in enumerate(rows[name])
            if is_blank(cell)
        }
        for role, rows in found.items()
    }


def _columns(config: DataConfig, found: dict[str, Any]) -> tuple[list[str], str, list[str]]:
    """Return the columns of the texts, and of the labels, and what was inferred."""
    features = found["train"].features
    given = [name for name in (config.text_column, config.second_column) if name is not None]
    free = {name: f for name, f in features.items() if name not in given}
    label = columns.usual_label_column(
        features if config.label_column else free, config.label_column
    )
    said: list[str] = []
    if label is None and not given:
        rows = found["train"]
        label = columns.plain_labels({name: rows[name] for name in columns.word_columns(features)})
        said = [] if label is None else [f"the labels are taken from column {label!r}"]
    names = columns.text_columns(features, config.text_column, config.second_column, label)
    return names, label or columns.label_column(features, None, names), said


def _check_columns(found: dict[str, Any], names: list[str], where: str) -> None:
    for role, rows in found.items():
        for name in names:
            if name not in rows.features:
                raise DataError(
                    f"the {role} split of {where} has no column {name!r}, as train has; its "
                    f"columns are {some(list(rows.features))}"
                )


def _carved(
    sizes: dict[str, int], labels: dict[str, Tensor], config: DataConfig, notes: dict[str, str]
) -> tuple[dict[str, tuple[str, Tensor]], dict[str, str]]:
    """Return for train, validation and test which rows of which split of the set they have."""
    rows = {role: (role, torch.arange(size)) for role, size in sizes.items()}
    # a corpus counts as one class
    classes = {r: labels.get(r, torch.zeros(size, dtype=torch.long)) for r, size in sizes.items()}
    numbers, notes = classes["train"], dict(notes)
    train = rows["train"][1]
    for role, share, seed, words in (
        ("test", TEST_SHARE, TEST_SEED, f"fixed seed {TEST_SEED}"),
        ("validation", config.validation, config.seed, f"seed {config.seed}"),
    ):
        if role not in rows:
            rest, carved = stratified(numbers[train], share, seed, role)
            rows[role], train = ("train", train[carved]), train[rest]
            said = f"{100 * share:g} % of train, {words}"
            notes[role] = f"{notes[role]}: {said}" if role in notes else said
        if role == "test" and config.train_limit and config.train_limit < len(train):
            kept = balanced(numbers[train], config.train_limit, config.seed)
            notes["train"] = f"{len(kept)} of {len(train)} texts, seed {config.seed}"
            train = train[kept]
    rows["train"] = ("train", train)
    origin, kept = rows["validation"]
    if config.validation_limit and config.validation_limit < len(kept):
        some = balanced(classes[origin][kept], config.validation_limit, config.seed)
        rows["validation"] = (origin, kept[some])
        said = f"{len(some)} of {len(kept)} texts, seed {config.seed}"
        notes["validation"] = notes.get("validation", f"the set's own {origin} split") + f", {said}"
    if not {"test", "validation"} <= set(sizes):
        notes["train"] = (
            notes.get("train", "the set's own train split") + ", less the examples split off"
        )
    return {role: rows[role] for role in ("train", "validation", "test")}, notes


def _sentences(
    config: DataConfig, tokenizer: Tokenizer, length: int, texts: TextColumns, labels: Tensor
) -> TextSource:
    ids, lengths = encode_texts(texts, tokenizer, length, config.truncate)
    resident = ids.nbytes <= config.device_limit_mb * 2**20
    return TextSource(ids, lengths, labels, resident=resident, multiple=widths(length))


def _corpus(
    config: DataConfig, tokenizer: Tokenizer, length: int, texts: TextColumns, role: str
) -> MaskedSource | NextTokenSource:
    tokens, resident = encode_corpus(texts, tokenizer, config.device_limit_mb)
    if config.task == "causal-lm":
        rows = Packed(tokens, length + 1, resident=resident, where=role)
        return NextTokenSource(rows, None if role == "train" else tokenizer.size)
    special = tokenizer.need("pad", "first", "mask")
    masking = Masking(config.masked, special["mask"], tokenizer.size, tokenizer.reserved)
    rows = Packed(tokens, length - 1, resident=resident, where=role)
    return MaskedSource(rows, masking, special["first"], _MASKING_SEEDS.get(role))
