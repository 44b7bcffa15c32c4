"""Prepare pictures and texts for a network, exactly as in validation during training.

An input that cannot be prepared gets its own message and does not affect the rest of its batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from autocompress.checks import takes
from autocompress.conversion import Converted
from autocompress.conversion.record import pixels_of
from autocompress.conversion.texts import positions_of
from autocompress.data import Examples, ImageInput, TensorSource, Tokenizer
from autocompress.data.corpus import padded
from autocompress.data.decode import ImageDecoder
from autocompress.data.tokenizer import widths
from autocompress.data.tokens import TextSource
from autocompress.errors import AutoCompressError, ConfigError, DataError, ShapeError
from autocompress.measurement.modes import evaluating
from autocompress.network import Network
from autocompress.predict import asking
from autocompress.predict.answers import one_line
from autocompress.predict.asking import Asked

__all__ = ["Prepared", "Reader", "recorded_preprocess", "reader_of"]


#: Bytes of the pictures that wait in memory for one pass.
_MOST_BYTES = 2**28


@dataclass
class Prepared:
    """Some inputs, ready for the network.

    Attributes:
        rows: Position of each row of ``source`` among the inputs.
        errors: Reasons why inputs are missing, by their position.
        notes: Changes of inputs, by their position.
        source: The inputs; None if none of them could be prepared.
    """

    rows: list[int] = field(default_factory=list)
    errors: dict[int, str] = field(default_factory=dict)
    notes: dict[int, str] = field(default_factory=dict)
    source: Examples | None = None


class Reader(Protocol):
    """The interface that turns what a user asks about into a network's inputs."""

    takes_texts: bool
    pairs: bool
    most: int | None  # inputs that may wait in memory for one pass
    preprocess: Mapping[str, Any] | None  # how pixels become inputs; None: as the network records

    def find(self, inputs: Any) -> Iterator[Asked]:
        """Yield single inputs; see :mod:`autocompress.predict.asking`."""
        ...

    def prepare(self, asked: Sequence[Asked]) -> Prepared:
        """Return inputs that are ready for the network."""
        ...


def reader_of(net: Network) -> Reader:
    """Return the reader for the inputs of ``net``.

    Raises:
        ConfigError: The network has no record of its inputs' kind.
    """
    if net.tokenizer is not None:
        return TextReader(net)
    said = recorded_preprocess(net) or {}
    if "mean" in said or "size" in said:
        return PictureReader(net, said)
    raise ConfigError(
        "this network records neither a tokenizer nor how pictures become its inputs, so it can "
        "predict for tensors only (predict(tensor)); to record it: net.preprocess = "
        "ac.data.ImageInput(mean=.., std=.., size=.., channels=3).to_json(), or net.tokenizer = "
        "TEXT of a tokenizer.json and, of a converted network, net.preprocess = {'pad': NUMBER}"
    )


def recorded_preprocess(net: Network) -> Mapping[str, Any] | None:
    """Return how inputs are prepared, as the network records it, or else its host."""
    said = net.preprocess
    if isinstance(net, Converted) and not {"mean", "size"} & set(said or ()):
        return pixels_of(net.model) or said
    return said


class PictureReader:
    """The reader of a network that takes pictures.

    Args:
        net: The network.
        preprocess: Preparation of pictures, as the network or its host records it.

    Raises:
        ConfigError: Neither ``preprocess`` nor the network gives the size of a picture, or the
            network does not take pictures of the size in ``preprocess``.
    """

    takes_texts = pairs = False

    def __init__(self, net: Network, preprocess: Mapping[str, Any]) -> None:
        self.preprocess: Mapping[str, Any] | None = preprocess
        self.input = ImageInput.of(preprocess)
        channels, height, width = self._shape(net)
        _check_fits(net, (channels, height, width))
        self.decoder = ImageDecoder(
            *(channels, height, width),
            resize=True,
            strict=False,
            interpolation=self.input.interpolation,
            crop=self.input.crop,
            fit=self.input.fit,
        )
        self.most: int | None = max(1, _MOST_BYTES // (channels * height * width))

    def _shape(self, net: Network) -> tuple[int, int, int]:
        if self.input.size is not None and self.input.channels is not None:
            return self.input.channels, *self.input.size
        try:  # earlier versions did not record it
            channels, height, width = net.example(1).shape[1:]
        except (AutoCompressError, AttributeError, ValueError):
            raise ConfigError(
                "this network records no size of its pictures: set size and channels in "
                "net.preprocess"
            ) from None
        return int(channels), *(self.input.size or (int(height), int(width)))

    def find(self, inputs: Any) -> Iterator[Asked]:
        """Yield every picture; see :func:`autocompress.predict.asking.pictures`."""
        return asking.pictures(inputs)

    def prepare(self, asked: Sequence[Asked]) -> Prepared:
        """Decode the pictures to bytes of the size that the network takes."""
        done, found = Prepared(), []
        for place, one in enumerate(asked):
            if one.error is not None:
                done.errors[place] = one.error
                continue
            try:
                pixels, shape = self.decoder.single(one.value, one.name)
            except DataError as error:
                done.errors[place] = str(error)
                continue
            note = self._note(shape)
            if note:
                done.notes[place] = f"{one.name} {note}"
            found.append(pixels)
            done.rows.append(place)
        if found:
            done.source = TensorSource(torch.stack(found), _no_labels(len(found)))
        return done

    def _note(self, shape: tuple[int, int, int]) -> str:
        """Return a note about changes of a picture that pictures in training did not need."""
        said = []
        channels, height, width = shape
        if channels > self.decoder.channels:
            said.append("is in colour and was made grey, as the network takes it")
        wanted = (self.decoder.height, self.decoder.width)
        if not self.input.resize and (height, width) != wanted:
            said.append(
                f"has {height} x {width} pixels and was resized to {wanted[0]} x {wanted[1]}, the "
                "size of all pictures in training"
            )
        return "; ".join(said)


def _check_fits(net: Network, shape: tuple[int, int, int]) -> None:
    """Raise ConfigError if a network that has a size of its own does not take this one.

    Resizing pictures to it first could take minutes.
    """
    side = net.config.get("image_size")
    if side is None or shape == (net.config.get("channels"), side, side):
        return
    picture = next(net.parameters()).new_zeros(1).expand(1, *shape)  # takes no memory
    try:
        with evaluating(net), takes(net, picture):
            net(picture)
    except ShapeError as error:
        raise ConfigError(
            f"preprocess has channels and size {shape}, which do not fit this network: {error}"
        ) from None


class TextReader:
    """The reader of a network that takes texts.

    Args:
        net: The network, with its tokenizer.

    Raises:
        DataError: The tokenizer cannot be read, or has no padding token.
    """

    takes_texts = True
    most: int | None = None
    preprocess: Mapping[str, Any] | None = None

    def __init__(self, net: Network) -> None:
        assert net.tokenizer is not None
        self.tokenizer = Tokenizer(net.tokenizer, "of this network")
        self.tokenizer.need("pad")
        self.pairs = (net.preprocess or {}).get("texts", 1) == 2
        config = net.config
        rows = config.get("length") or positions_of(
            str(config.get("source", "")), config.get("arguments") or {}
        )
        known = [int(size) for size in (self.tokenizer.longest, rows) if size is not None]
        self.length = min(known) if known else None

    def find(self, inputs: Any) -> Iterator[Asked]:
        """Yield every text; see :func:`autocompress.predict.asking.texts`."""
        return asking.texts(inputs, self.pairs)

    def prepare(self, asked: Sequence[Asked]) -> Prepared:
        """Tokenise the texts, truncated to the length that the network takes."""
        done = Prepared(errors={n: one.error for n, one in enumerate(asked) if one.error})
        places = [n for n in range(len(asked)) if n not in done.errors]
        pad, kept = self.tokenizer.special["pad"], []
        for place, said in zip(places, self._rows([asked[n] for n in places]), strict=True):
            if isinstance(said, str):
                done.errors[place] = said
                continue
            cut, whole = said
            error = self._refusal(cut, whole, pad)
            if error:
                done.errors[place] = f"{_quoted(asked[place])} {error}"
                continue
            if len(cut) < len(whole):
                done.notes[place] = (
                    f"{_quoted(asked[place])} has {len(whole)} tokens and was cut to {len(cut)}, "
                    "as in training"
                )
            kept.append(cut)
            done.rows.append(place)
        if kept:
            length = self.length or max(map(len, kept))
            ids, lengths = padded(kept, self.tokenizer, length)
            labels = _no_labels(len(kept))
            done.source = TextSource(ids, lengths, labels, multiple=widths(length))
        return done

    def _refusal(self, cut: list[int], whole: list[int], pad: int) -> str:
        """Return why these tokens cannot be answered; empty if they can."""
        if not whole:
            return "has no word in it"
        if pad in cut:
            return (
                "holds the tokenizer's padding token as a word, which the network would not see: "
                "take it out"
            )
        if self.length is not None and len(cut) > self.length:
            return (
                f"has {len(cut)} tokens, and the network has positions for {self.length}: "
                "shorten it"
            )
        return ""

    def _rows(self, asked: Sequence[Asked]) -> list[tuple[list[int], list[int]] | str]:
        """Return the tokens of each text, cut and in full, or the tokenizer's error on it."""
        if not asked:
            return []
        columns = [[one.value for one in asked]]
        if self.pairs:
            columns = [[one.value[part] for one in asked] for part in (0, 1)]
        try:
            both = [self.tokenizer.rows(columns, truncate) for truncate in (True, False)]
        except DataError as error:
            if len(asked) == 1:
                return [str(error)]
            return [pair for one in asked for pair in self._rows([one])]
        return list(zip(*both, strict=True))


def _quoted(asked: Asked) -> str:
    return f"'{one_line(asked.name)}'"


def _no_labels(count: int) -> Tensor:
    return torch.zeros(count, dtype=torch.long)
