"""Tokenizers: one that was saved, or a WordPiece trained on the text at hand."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from autocompress.errors import DataError
from autocompress.extras import import_extra

__all__ = ["Tokenizer", "has_tokenizer", "read_tokenizer", "train_tokenizer", "widths"]

FILE = "tokenizer.json"

#: Names of the special tokens in the families of tokenizers.
_SPECIAL = {
    "pad": ("[PAD]", "<pad>", "<|padding|>"),
    "unknown": ("[UNK]", "<unk>"),
    "first": ("[CLS]", "<s>"),
    "separator": ("[SEP]", "</s>", "<|endoftext|>", "<|end_of_text|>", "<eos>"),
    "mask": ("[MASK]", "<mask>"),
}


#: Largest alphabet, as in the library's trainer.
_MOST_LETTERS = 1000


class Tokenizer:
    """A tokenizer of the ``tokenizers`` library, given by the text of its tokenizer.json.

    Args:
        text: The JSON. After :meth:`for_task` it defines by itself everything that a network needs:
            the special tokens around a text, truncation, and the padding of a batch.
        name: Origin, for error messages.

    Raises:
        DataError: The text is not a tokenizer.json.
        MissingExtraError: ``tokenizers`` is not installed.
    """

    def __init__(self, text: str, name: str = FILE) -> None:
        self.text, self.name = text, name
        self._inner = self._made()
        self._inner.no_truncation()
        self._inner.no_padding()
        self._inner.encode_special_tokens = True  # "[SEP]" in a text is ordinary text

    def _made(self) -> Any:
        try:
            return _library().Tokenizer.from_str(self.text)
        except Exception as error:  # the library raises no narrower type
            raise DataError(f"{self.name} is not a tokenizer.json: {error}") from None

    @property
    def size(self) -> int:
        """Return the vocabulary size V: every token is below it."""
        return int(max(self._inner.get_vocab(with_added_tokens=True).values())) + 1

    @cached_property
    def special(self) -> dict[str, int]:
        """Return the special tokens that this tokenizer has, by their use."""
        found = {}
        for use, names in _SPECIAL.items():
            ids = [self._inner.token_to_id(name) for name in names]
            known = [i for i in ids if i is not None]
            if known:
                found[use] = int(known[0])
        return found

    @property
    def special_words(self) -> dict[str, str]:
        """Return the text of each of :attr:`special`, by use."""
        return {use: str(self._inner.id_to_token(number)) for use, number in self.special.items()}

    @cached_property
    def longest(self) -> int | None:
        """Return the number of tokens that the JSON truncates a text to; None if it does not."""
        cut = json.loads(self.text).get("truncation") or {}
        most: int | None = cut.get("max_length")
        return most

    @cached_property
    def reserved(self) -> list[int]:
        """Return all special tokens in ascending order."""
        added = json.loads(self.text).get("added_tokens") or []
        marked = {int(token["id"]) for token in added if token.get("special")}
        return sorted(marked | set(self.special.values()))

    @property
    def core(self) -> str:
        """Return the JSON of the mapping from words to tokens, by which tokenizers are compared.

        The special tokens around a text, truncation and padding are not part of it.
        """
        said = json.loads(self._made().to_str())  # in the library's own form, whoever wrote it
        said["added_tokens"] = [t for t in said["added_tokens"] if not _known(t, said)]
        around = ("post_processor", "truncation", "padding")
        return json.dumps({k: v for k, v in said.items() if k not in around}, sort_keys=True)

    def need(self, *uses: str) -> dict[str, int]:
        """Return the special tokens for these uses.

        Raises:
            DataError: A token is missing.
        """
        for use in uses:
            if use not in self.special:
                raise DataError(
                    f"the tokenizer {self.name} has no {use} token (one of "
                    f"{', '.join(_SPECIAL[use])}); this task needs one"
                )
        return {use: self.special[use] for use in uses}

    def for_task(self, task: str, length: int) -> Tokenizer:
        """Return a tokenizer whose JSON by itself turns a text into a network's input for a task.

        A text is placed between the first token and the separator, unless the tokenizer has its own
        template; it is truncated to ``length``, and a batch is padded to a multiple of
        :func:`widths`. A causal language model receives only the tokens of the text. In texts to be
        classified, words that look like special tokens are ordinary text if the tokenizer allows.

        Args:
            task: Task of :class:`autocompress.data.DataConfig`.
            length: Largest number of tokens, including special ones.

        Raises:
            DataError: A special token is missing.
        """
        said = json.loads(self.text)
        if task == "text-classification":
            added = said.get("added_tokens") or []
            said["added_tokens"] = [token for token in added if not _known(token, said)]
        new = Tokenizer(json.dumps(said), self.name)
        inner = new._made()
        inner.no_truncation()
        inner.no_padding()
        if task == "causal-lm":
            if inner.num_special_tokens_to_add(False):
                inner.post_processor = None
            return Tokenizer(inner.to_str(), self.name)
        special = self.need("pad", "first", "separator")
        if not inner.num_special_tokens_to_add(False):
            _surround(inner, special)
        inner.enable_truncation(length)
        inner.enable_padding(
            pad_id=special["pad"],
            pad_token=inner.id_to_token(special["pad"]),
            pad_to_multiple_of=widths(length) if widths(length) > 1 else None,
        )
        return Tokenizer(inner.to_str(), self.name)

    @cached_property
    def _exact(self) -> tuple[Any, Any]:
        """Return tokenizers as in the JSON but without padding: with and without truncation."""
        cut, whole = self._made(), self._made()
        cut.no_padding()
        whole.no_padding()
        whole.no_truncation()
        return cut, whole

    def rows(self, columns: Sequence[Sequence[str]], truncate: bool) -> list[list[int]]:
        """Return the tokens of texts or pairs of texts as the JSON defines them, without padding.

        Args:
            columns: One list of texts, or two of equal length.
            truncate: Whether to truncate them as the JSON says.

        Returns:
            Tokens of each; an empty list if one of its texts has no words.
        """
        inner = self._exact[0 if truncate else 1]
        texts = list(columns[0]) if len(columns) == 1 else list(zip(*columns, strict=True))
        parts = set(range(len(columns)))
        with self._blamed():
            encoded = inner.encode_batch(texts)
        return [e.ids if parts <= set(e.sequence_ids) else [] for e in encoded]

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the tokens of every text, without special tokens."""
        with self._blamed():
            encoded = self._inner.encode_batch_fast(list(texts), add_special_tokens=False)
        return [e.ids for e in encoded]

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of these tokens, without special tokens."""
        words = [int(i) for i in ids if int(i) not in self.reserved]
        with self._blamed():
            return str(self._inner.decode(words, skip_special_tokens=True))

    @contextmanager
    def _blamed(self) -> Iterator[None]:
        """Name the tokenizer in errors on a text, e.g. if it has no unknown token."""
        try:
            yield
        except Exception as error:  # the library raises no narrower type
            raise DataError(f"the tokenizer {self.name} fails on a text: {error}") from None


def widths(length: int) -> int:
    """Return the multiple to which batches of texts are padded: 8, if it fits into ``length``."""
    return 8 if length % 8 == 0 else 1


def _known(token: dict[str, Any], said: dict[str, Any]) -> bool:
    """Return whether a special token is also in the model's own vocabulary.

    Such a token has its number without being searched for in the texts.
    """
    vocabulary = (said.get("model") or {}).get("vocab")
    if not token.get("special") or not isinstance(vocabulary, (dict, list)):
        return False
    if isinstance(vocabulary, dict):
        return bool(vocabulary.get(token["content"]) == token["id"])
    at = token["id"]
    return at < len(vocabulary) and bool(vocabulary[at][0] == token["content"])


def _surround(inner: Any, special: dict[str, int]) -> None:
    """Add the first token and the separator around texts, after existing post-processing."""
    processors = _library().processors
    first, separator = (inner.id_to_token(special[use]) for use in ("first", "separator"))
    template = processors.TemplateProcessing(
        single=f"{first} $A {separator}",
        pair=f"{first} $A {separator} $B:1 {separator}:1",
        special_tokens=[(first, special["first"]), (separator, special["separator"])],
    )
    before = inner.post_processor
    inner.post_processor = template if before is None else processors.Sequence([before, template])


def read_tokenizer(name: str) -> Tokenizer:
    """Return a saved tokenizer.

    Args:
        name: A tokenizer.json, or a folder that has one (of a saved network or a run).

    Raises:
        DataError: There is none.
    """
    file = _file(name)
    if file is None:
        raise DataError(f"no tokenizer at {name}: expected a tokenizer.json or a folder with one")
    try:
        return Tokenizer(file.read_text(encoding="utf-8"), str(file))
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file} cannot be read: {error}") from None


def has_tokenizer(name: str) -> bool:
    """Return whether :func:`read_tokenizer` would find one."""
    return _file(name) is not None


def _file(name: str) -> Path | None:
    path = Path(name).expanduser()
    candidates = [path, path / FILE, path / "model" / FILE] if path.is_dir() else [path]
    return next((c for c in candidates if c.is_file()), None)


def train_tokenizer(texts: Iterable[Sequence[str]], vocabulary: int) -> Tokenizer:
    """Train an uncased WordPiece like BERT's, with at most ``vocabulary`` tokens.

    The library merges equally frequent pieces in the order of their numbers and numbers letters
    anew each time. Letters are therefore passed to it in order, so that the same text gives the
    same tokenizer.

    Args:
        texts: Texts in lists of any length; they are read twice.
        vocabulary: Vocabulary size V.

    Raises:
        DataError: There is no text.
        MissingExtraError: ``tokenizers`` is not installed.

    Example:
        >>> tokenizer = train_tokenizer([["a cat", "a cart"]], vocabulary=20)
        >>> tokenizer.special["pad"], tokenizer.decode(tokenizer.encode(["A cart"])[0])
        (0, 'a cart')
    """
    library = _library()
    special = [names[0] for names in _SPECIAL.values()]
    inner = _wordpiece(library, {})
    letters = _letters(inner.normalizer, texts)
    if not letters:
        raise DataError("there is no text to train a tokenizer on")
    numbered = [*special, *letters, *(f"##{letter}" for letter in letters)]
    trainer = library.trainers.WordPieceTrainer(
        vocab_size=max(vocabulary, len(numbered)), special_tokens=numbered, show_progress=False
    )
    inner.train_from_iterator(texts, trainer)
    pieces = sorted(inner.get_vocab().items(), key=lambda piece: piece[1])
    inner = _wordpiece(library, dict(pieces))
    inner.add_special_tokens(special)
    return Tokenizer(inner.to_str(), "trained here")


def _letters(normalizer: Any, texts: Iterable[Sequence[str]]) -> list[str]:
    """Return the most frequent characters, in Unicode order."""
    counts: Counter[str] = Counter()
    for some in texts:
        for text in some:
            counts.update(normalizer.normalize_str(text))
    common = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return sorted([c for c, _ in common if not c.isspace()][:_MOST_LETTERS])


def _wordpiece(library: Any, vocabulary: dict[str, int]) -> Any:
    inner = library.Tokenizer(library.models.WordPiece(vocabulary, unk_token="[UNK]"))
    inner.normalizer = library.normalizers.BertNormalizer(lowercase=True)
    inner.pre_tokenizer = library.pre_tokenizers.BertPreTokenizer()
    inner.decoder = library.decoders.WordPiece()
    return inner


def _library() -> Any:
    return import_extra("tokenizers", "transformers", "text data")
