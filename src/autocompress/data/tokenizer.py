"""Text to tokens: a tokenizer that somebody saved, or a WordPiece trained on the text at hand."""

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

#: What the families of tokenizers call the tokens that stand for no text.
_SPECIAL = {
    "pad": ("[PAD]", "<pad>", "<|padding|>"),
    "unknown": ("[UNK]", "<unk>"),
    "first": ("[CLS]", "<s>"),
    "separator": ("[SEP]", "</s>", "<|endoftext|>", "<|end_of_text|>", "<eos>"),
    "mask": ("[MASK]", "<mask>"),
}


#: As in the library's trainer.
_MOST_LETTERS = 1000


class Tokenizer:
    """A tokenizer of the ``tokenizers`` library, by the text of its tokenizer.json.

    Args:
        text: The JSON. Made :meth:`for_task`, it says by itself all that a network needs: the
            special tokens around a text, how much of it is kept, and how a batch is filled up.
        name: Where it came from, for error messages.

    Raises:
        DataError: It is no tokenizer.json. MissingExtraError: ``tokenizers`` is not installed.
    """

    def __init__(self, text: str, name: str = FILE) -> None:
        self.text, self.name = text, name
        self._inner = self._made()
        self._inner.no_truncation()
        self._inner.no_padding()
        self._inner.encode_special_tokens = True  # "[SEP]" in a text is text

    def _made(self) -> Any:
        try:
            return _library().Tokenizer.from_str(self.text)
        except Exception as error:  # the library raises nothing narrower
            raise DataError(f"{self.name} is no tokenizer.json: {error}") from None

    @property
    def size(self) -> int:
        """V: every token is below it."""
        return int(max(self._inner.get_vocab(with_added_tokens=True).values())) + 1

    @cached_property
    def special(self) -> dict[str, int]:
        """Tokens that stand for no text, by what they are for; those that it has."""
        found = {}
        for use, names in _SPECIAL.items():
            ids = [self._inner.token_to_id(name) for name in names]
            known = [i for i in ids if i is not None]
            if known:
                found[use] = int(known[0])
        return found

    @cached_property
    def reserved(self) -> list[int]:
        """Return all tokens that are no text, ascending."""
        added = json.loads(self.text).get("added_tokens") or []
        marked = {int(token["id"]) for token in added if token.get("special")}
        return sorted(marked | set(self.special.values()))

    @property
    def core(self) -> str:
        """What makes tokens of words, as JSON: two tokenizers alike in it make the same of a text.

        The special tokens around a text, truncation and padding are not part of it.
        """
        said = json.loads(self._made().to_str())  # as the library writes it, whoever wrote it
        said["added_tokens"] = [t for t in said["added_tokens"] if not _known(t, said)]
        around = ("post_processor", "truncation", "padding")
        return json.dumps({k: v for k, v in said.items() if k not in around}, sort_keys=True)

    def need(self, *uses: str) -> dict[str, int]:
        """Return the special tokens for these uses.

        Raises:
            DataError: One is missing.
        """
        for use in uses:
            if use not in self.special:
                raise DataError(
                    f"the tokenizer {self.name} has no {use} token (one of "
                    f"{', '.join(_SPECIAL[use])}); this task needs one"
                )
        return {use: self.special[use] for use in uses}

    def for_task(self, task: str, length: int) -> Tokenizer:
        """The tokenizer whose JSON alone makes of a text what a network of the task is given.

        A text stands between the first token and the separator, unless the tokenizer has a template
        of its own; it is cut to ``length``, and a batch is filled up to a multiple of
        :func:`widths`. A causal language model gets the tokens of the text and nothing else. In
        what is classified no word is a special token, where the tokenizer can do without them.

        Args:
            task: Of :class:`autocompress.data.DataConfig`.
            length: Tokens at most, the special ones included.

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
        """Return what the JSON says, without padding: with its truncation, and without."""
        cut, whole = self._made(), self._made()
        cut.no_padding()
        whole.no_padding()
        whole.no_truncation()
        return cut, whole

    def rows(self, columns: Sequence[Sequence[str]], truncate: bool) -> list[list[int]]:
        """Return the tokens of texts, or of pairs of them, as the JSON says, but for the padding.

        Args:
            columns: One list of texts, or two of the same length.
            truncate: Cut them as the JSON says.

        Returns:
            Tokens of each; none for one that has a text without a word in it.
        """
        inner = self._exact[0 if truncate else 1]
        texts = list(columns[0]) if len(columns) == 1 else list(zip(*columns, strict=True))
        parts = set(range(len(columns)))
        with self._blamed():
            encoded = inner.encode_batch(texts)
        return [e.ids if parts <= set(e.sequence_ids) else [] for e in encoded]

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the tokens of every text, without special ones."""
        with self._blamed():
            encoded = self._inner.encode_batch_fast(list(texts), add_special_tokens=False)
        return [e.ids for e in encoded]

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of these tokens, special ones left out."""
        words = [int(i) for i in ids if int(i) not in self.reserved]
        with self._blamed():
            return str(self._inner.decode(words, skip_special_tokens=True))

    @contextmanager
    def _blamed(self) -> Iterator[None]:
        """Name the tokenizer where it fails on a text, e.g. for want of an unknown token."""
        try:
            yield
        except Exception as error:  # the library raises nothing more particular
            raise DataError(f"the tokenizer {self.name} fails on a text: {error}") from None


def widths(length: int) -> int:
    """The multiple that batches of texts are filled up to: 8, where that fits into ``length``."""
    return 8 if length % 8 == 0 else 1


def _known(token: dict[str, Any], said: dict[str, Any]) -> bool:
    """Return whether a special token is in the model's own vocabulary as well.

    Such a token has its number without being looked for in the texts.
    """
    vocabulary = (said.get("model") or {}).get("vocab")
    if not token.get("special") or not isinstance(vocabulary, (dict, list)):
        return False
    if isinstance(vocabulary, dict):
        return bool(vocabulary.get(token["content"]) == token["id"])
    at = token["id"]
    return at < len(vocabulary) and bool(vocabulary[at][0] == token["content"])


def _surround(inner: Any, special: dict[str, int]) -> None:
    """Put the first token and the separator around texts, after what is done to them already."""
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
        name: A tokenizer.json, or a folder that has one (a saved network's, a run's).

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
    """Return an uncased WordPiece as BERT's, of at most ``vocabulary`` tokens.

    Equally frequent pieces are joined in the order of their numbers, and the library numbers
    letters anew each time. So they are given to it in order here, and the same text makes the same
    tokenizer.

    Args:
        texts: In lists of any length; read twice.
        vocabulary: V.

    Raises:
        DataError: There is no text. MissingExtraError: ``tokenizers`` is not installed.

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
    """Return the commonest characters, in the order of Unicode."""
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
