"""tokenizer.json alone, read by the ``tokenizers`` library, gives what the product sees."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import autocompress as ac
from autocompress.data import TextSplits
from autocompress.data.tokenizer import Tokenizer, train_tokenizer
from autocompress.errors import DataError
from texts import passages, sentences

library = pytest.importorskip("tokenizers", reason="needs the extra transformers")

ODD = ["Good [SEP] film", "[PAD] [PAD] bad", "<s> fine </s> plot <pad>", "Ünïcode, dull!", "[CLS]"]


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


# -- tokenizers of checkpoints ---------------------------------------------------------------------


def own() -> Any:
    return library.Tokenizer.from_str(train_tokenizer([passages(80)], 200).text)


def bert() -> Any:
    """With the template that upstream writes, and types of the two sentences."""
    inner = own()
    inner.post_processor = library.processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return inner


def trained_bytes(special: list[str]) -> Any:
    inner = library.Tokenizer(library.models.BPE())
    inner.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = library.decoders.ByteLevel()
    trainer = library.trainers.BpeTrainer(
        vocab_size=330, special_tokens=special, show_progress=False,
        initial_alphabet=library.pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    inner.train_from_iterator(passages(40), trainer)
    return inner


def roberta() -> Any:
    """Two separators between the sentences of a pair."""
    inner = trained_bytes(["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    inner.post_processor = library.processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return inner


def bytes_without_template() -> Any:
    """A post-processor that adds nothing, and special tokens that the model does not know."""
    inner = trained_bytes([])
    inner.post_processor = library.processors.ByteLevel(trim_offsets=False)
    inner.add_special_tokens(["<s>", "</s>", "<pad>", "<mask>"])
    return inner


def unigram() -> Any:
    pieces = [("<pad>", 0.0), ("<s>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    pieces += [(piece, -2.0) for piece in ("▁", "▁good", "▁bad", "▁film", "▁fine", "▁plot")]
    pieces += [(letter, -5.0) for letter in "abcdefghijklmnopqrstuvwxyz<>/[]!,"]
    inner = library.Tokenizer(library.models.Unigram(pieces, unk_id=3, byte_fallback=False))
    inner.pre_tokenizer = library.pre_tokenizers.Metaspace()
    inner.add_special_tokens(["<pad>", "<s>", "</s>", "<unk>"])
    inner.post_processor = library.processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> $B </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    return inner


#: Those that cannot do without looking for special tokens in a text.
_LOOKING = (bytes_without_template, unigram)

KINDS = [own, bert, roberta, bytes_without_template, unigram]


def write(folder: Path, pair: bool, odd: list[str] = ODD) -> tuple[Path, list[str], list[str]]:
    texts, labels = sentences(60)
    texts = [*texts, *odd, "good film " * 20]
    labels = [*labels, *(i % 2 for i in range(len(odd) + 1))]
    seconds = texts[7:] + texts[:7]
    columns = {"text": texts, "label": labels} | ({"second": seconds} if pair else {})
    file = folder / "task.jsonl"
    names = list(columns)
    lines = [json.dumps(dict(zip(names, row, strict=True))) for row in zip(*columns.values())]  # noqa: B905
    file.write_text("\n".join(lines))
    return file, texts, seconds


def rows(data: TextSplits) -> list[tuple[list[int], list[int]]]:
    """Ids and mask of every text as a network gets it by itself, in the order of the file."""
    pad = data.preprocess["pad"]
    found = []
    for source in (data.train, data.validation, data.test):
        for ids, _ in source.batches(1):
            found.append((ids[0].tolist(), (ids[0] != pad).long().tolist()))
    return sorted(found)


@pytest.mark.parametrize("length", [16, 24, 19])
@pytest.mark.parametrize("pair", [False, True], ids=["texts", "pairs"])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_the_file_alone_gives_ids_and_mask(
    kind: Any, pair: bool, length: int, tmp_path: Path
) -> None:
    kind().save(str(tmp_path / "tokenizer.json"))
    odd = [text.replace("<pad>", "pad") for text in ODD] if kind in _LOOKING else ODD
    file, texts, seconds = write(tmp_path, pair, odd)
    data = ac.load_data(
        ac.DataConfig(
            task="text-classification", name=str(file), tokenizer=str(tmp_path), length=length,
            truncate=True, second_column="second" if pair else None,
        )
    )  # fmt: skip
    assert isinstance(data, TextSplits)
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "tokenizer.json").write_text(data.tokenizer.text)
    raw = library.Tokenizer.from_file(str(tmp_path / "made" / "tokenizer.json"))
    inputs = list(zip(texts, seconds, strict=True)) if pair else texts
    expected = [raw.encode_batch([text])[0] for text in inputs]
    assert rows(data) == sorted((e.ids, e.attention_mask) for e in expected)
    assert max(len(e.ids) for e in expected) <= length
    # the tokens of the words are what they were
    plain = kind()
    plain.encode_special_tokens = True
    for text, encoding in zip(texts[:60], expected, strict=False):
        ids = [i for i, m in zip(encoding.ids, encoding.special_tokens_mask, strict=True) if not m]
        whole = plain.encode(text, add_special_tokens=False).ids
        assert pair or ids == whole[: len(ids)]
    assert Tokenizer(data.tokenizer.text).core == Tokenizer(kind().to_str()).core


@pytest.mark.parametrize("kind", _LOOKING, ids=lambda kind: kind.__name__)
def test_padding_as_a_word_is_refused(kind: Any, tmp_path: Path) -> None:
    """Where a text cannot be kept apart from it: the network would be blind to that word."""
    kind().save(str(tmp_path / "tokenizer.json"))
    file, *_ = write(tmp_path, pair=False, odd=["good <pad> film"])
    config = ac.DataConfig(
        task="text-classification", name=str(file), tokenizer=str(tmp_path), truncate=True
    )
    with pytest.raises(DataError, match=r"line 61 holds the tokenizer's padding token"):
        ac.load_data(config)


def test_a_batch_is_filled_up_as_the_file_says(tmp_path: Path) -> None:
    file, *_ = write(tmp_path, pair=False)
    config = ac.DataConfig(task="text-classification", name=str(file), vocabulary=90, length=32,
                           truncate=True)  # fmt: skip
    data = ac.load_data(config)
    raw = library.Tokenizer.from_str(data.tokenizer.text)
    ids, _ = next(data.train.batches(7))
    said = [data.tokenizer.decode(row) for row in ids.tolist()]
    encoded = raw.encode_batch(said)
    assert ids.shape[1] % 8 == 0
    assert [e.ids for e in encoded] == ids.tolist()


def test_a_word_is_never_a_special_token_of_what_is_classified() -> None:
    for kind in (own, bert, roberta):
        made = Tokenizer(kind().to_str()).for_task("text-classification", 32)
        special = set(made.special.values()) - {made.special["unknown"]}
        raw = library.Tokenizer.from_str(made.text)
        raw.no_padding()
        for text in ODD:
            assert not set(raw.encode(text).ids[1:-1]) & special


def test_masks_stay_masks_and_a_causal_model_gets_the_text_alone() -> None:
    words = library.Tokenizer.from_str(Tokenizer(roberta().to_str()).for_task("masked-lm", 16).text)
    ids = words.encode("good <mask>").ids
    assert ids[0] == 0
    assert 4 in ids
    assert len(ids) == 8
    for kind in (unigram, bytes_without_template):
        tokenizer = Tokenizer(kind().to_str())
        causal = library.Tokenizer.from_str(tokenizer.for_task("causal-lm", 16).text)
        text = "good film " * 30
        assert [causal.encode(text).ids] == tokenizer.encode([text])


def test_without_the_tokens_that_a_task_needs() -> None:
    plain = Tokenizer(trained_bytes([]).to_str(), "plain")
    with pytest.raises(DataError, match="the tokenizer plain has no pad token"):
        plain.for_task("text-classification", 16)
    assert plain.for_task("causal-lm", 16).encode(["good"]) == plain.encode(["good"])


# -- the product -----------------------------------------------------------------------------------


def test_a_saved_network_and_the_raw_library_predict_the_same_class(tmp_path: Path) -> None:
    texts, labels = sentences(120)
    lines = [json.dumps({"text": t, "label": l}) for t, l in zip(texts, labels, strict=True)]  # noqa: E741
    (tmp_path / "task.jsonl").write_text("\n".join(lines))
    data = ac.load_data(
        ac.DataConfig(task="text-classification", name=str(tmp_path / "task.jsonl"), vocabulary=90,
                      length=32)
    )  # fmt: skip
    assert isinstance(data, TextSplits)
    torch.manual_seed(0)
    net = ac.models.Encoder(depth=2, width=16, heads=2, **data.arguments)
    net.tokenizer = data.tokenizer.text
    fit = ac.FitConfig(epochs=12, batch_size=16, lr=1e-2, warmup_epochs=1, label_smoothing=0.0)
    ac.fit(net, data.train, data.validation, fit, progress=False)
    ac.save(ac.cut(net, 2), tmp_path / "small")
    small = ac.load(tmp_path / "small").eval()
    raw = library.Tokenizer.from_file(str(tmp_path / "small" / "tokenizer.json"))
    ids = torch.tensor([e.ids for e in raw.encode_batch(texts)])
    with torch.no_grad():
        classes = small(ids).argmax(1)
    assert (classes == torch.tensor(labels)).float().mean() > 0.9  # not one class for all
    seen = {}
    for source in (data.train, data.validation, data.test):
        for rows_, _ in source.batches(9):
            with torch.no_grad():
                found = small(rows_).argmax(1)
            for row, label in zip(rows_, found, strict=True):
                seen[data.tokenizer.decode(row.tolist())] = int(label)
    assert {raw_text.lower(): int(c) for raw_text, c in zip(texts, classes, strict=True)} == seen


def test_a_folder_of_before_still_loads(tmp_path: Path) -> None:
    """Its tokenizer.json has no template; data that are read with it give the same rows."""
    file, *_ = write(tmp_path, pair=False)
    before = train_tokenizer([passages(80)], 120)
    net = ac.models.Encoder(depth=1, width=8, heads=2, vocabulary=before.size, length=16, classes=2)
    net.tokenizer = before.text
    ac.save(net, tmp_path / "old")
    config = ac.DataConfig(
        task="text-classification", name=str(file), tokenizer=str(tmp_path / "old"), length=16,
        truncate=True,
    )  # fmt: skip
    old = ac.load_data(config)
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "tokenizer.json").write_text(old.tokenizer.text)
    from dataclasses import replace

    again = ac.load_data(replace(config, tokenizer=str(tmp_path / "new")))
    assert again.tokenizer.text == old.tokenizer.text
    assert rows(again) == rows(old)
    assert ac.load(tmp_path / "old").tokenizer == before.text
