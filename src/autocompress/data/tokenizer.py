"""Text to tokens: a tokenizer that somebody saved, or a WordPiece trained on the text at hand."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from autocompress.errors import DataError
from autocompress.extras import import_extra

__all__ = ["Tokenizer", "has_tokenizer", "read_tokenizer", "train_tokenizer"]

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
        text: the JSON.
        name: where it came from, for error messages.

    Raises:
        DataError: it is no tokenizer.json. MissingExtraError: ``tokenizers`` is not installed.
    """

    def __init__(self, text: str, name: str = FILE) -> None:
        self.text, self.name = text, name
        try:
            self._inner = _library().Tokenizer.from_str(text)
        except Exception as error:  # the library raises nothing narrower
            raise DataError(f"{name} is no tokenizer.json: {error}") from None
        self._inner.no_truncation()
        self._inner.no_padding()
        self._inner.encode_special_tokens = True  # "[SEP]" in a text is text

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

    @property
    def reserved(self) -> list[int]:
        """All tokens that are no text, ascending."""
        added = json.loads(self.text).get("added_tokens") or []
        marked = {int(token["id"]) for token in added if token.get("special")}
        return sorted(marked | set(self.special.values()))

    def need(self, *uses: str) -> dict[str, int]:
        """The special tokens for these uses.

        Raises:
            DataError: one is missing.
        """
        for use in uses:
            if use not in self.special:
                raise DataError(
                    f"the tokenizer {self.name} has no {use} token (one of "
                    f"{', '.join(_SPECIAL[use])}); this task needs one"
                )
        return {use: self.special[use] for use in uses}

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """The tokens of every text, without special ones."""
        return [e.ids for e in self._inner.encode_batch_fast(list(texts), add_special_tokens=False)]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of these tokens, special ones left out."""
        return str(self._inner.decode([int(i) for i in ids], skip_special_tokens=True))


def read_tokenizer(name: str) -> Tokenizer:
    """A saved tokenizer.

    Args:
        name: a tokenizer.json, or a folder that has one (a saved network's, a run's).

    Raises:
        DataError: there is none.
    """
    file = _file(name)
    if file is None:
        raise DataError(f"no tokenizer at {name}: expected a tokenizer.json or a folder with one")
    try:
        return Tokenizer(file.read_text(encoding="utf-8"), str(file))
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file} cannot be read: {error}") from None


def has_tokenizer(name: str) -> bool:
    """Whether :func:`read_tokenizer` would find one."""
    return _file(name) is not None


def _file(name: str) -> Path | None:
    path = Path(name).expanduser()
    candidates = [path, path / FILE, path / "model" / FILE] if path.is_dir() else [path]
    return next((c for c in candidates if c.is_file()), None)


def train_tokenizer(texts: Iterable[Sequence[str]], vocabulary: int) -> Tokenizer:
    """An uncased WordPiece as BERT's, of at most ``vocabulary`` tokens.

    Equally frequent pieces are joined in the order of their numbers, and the library numbers
    letters anew each time. So they are given to it in order here, and the same text makes the same
    tokenizer.

    Args:
        texts: in lists of any length; read twice.
        vocabulary: V.

    Raises:
        DataError: there is no text. MissingExtraError: ``tokenizers`` is not installed.

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
    """The commonest characters, in the order of Unicode."""
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
