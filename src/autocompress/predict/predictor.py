"""``Predictor``: a network with everything that it needs to answer."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from autocompress.checks import as_floats_of, blame, check_network, takes
from autocompress.depth.exit import early_exit, rule_for
from autocompress.depth.exit_record import EXITS
from autocompress.depth.exit_rule import ExitRule
from autocompress.errors import ConfigError, DataError
from autocompress.io.saving import find_saved
from autocompress.measurement.modes import device_of, evaluating
from autocompress.network import Network, load
from autocompress.predict.answers import Guess, Prediction, Predictions
from autocompress.predict.asking import Asked, is_single
from autocompress.predict.preparing import Prepared, Reader, reader_of, recorded_preprocess
from autocompress.training.inputs import Normalise, network_batches
from autocompress.training.objectives import MultiLabel, Regression, objective_of

__all__ = ["Predictor", "model_folder"]

#: Tasks whose answers are words.
_OF_WORDS = frozenset(("masked-lm", "causal-lm"))


class Predictor:
    """A network that answers in words: class names with probabilities.

    Inputs are prepared as in validation during training: the same size, normalisation and
    tokenizer, in the same batches.

    Args:
        network: A network, the folder of a saved one, or a run folder (from which ``small/`` is
            used, or ``model/`` if there is no smaller network).
        device: Device to move the network to, e.g. ``"cuda"``; None leaves it where it is.
        batch_size: Inputs per pass.
        threshold: Probability above which a multi-label network's label is part of the answer.
        exit_below: If given, an example leaves at the first depth at which the entropy of its
            prediction is below this, in nats; see :func:`autocompress.early_exit`. An
            :class:`autocompress.ExitRule` may have another criterion and exits of its own.

    Attributes:
        net: The network.

    Raises:
        ConfigError: The network predicts tokens, its class names do not fit its outputs, an option
            has no such value, or examples cannot leave the network early.
        CheckpointError: As for :func:`autocompress.load`.

    Example:
        >>> import autocompress as ac
        >>> from PIL import Image
        >>> net = ac.models.MLP(depth=1, width=4, classes=2, image_size=2, channels=1)
        >>> net.class_names = ["dark", "bright"]
        >>> net.preprocess = ac.data.ImageInput(size=(2, 2), channels=1).to_json()
        >>> ac.Predictor(net)(Image.new("L", (2, 2))).label in net.class_names
        True
    """

    def __init__(
        self,
        network: Network | str | os.PathLike[str],
        *,
        device: torch.device | str | None = None,
        batch_size: int = 256,
        threshold: float = 0.5,
        exit_below: float | ExitRule | None = None,
    ) -> None:
        if isinstance(network, (str, os.PathLike)):
            network = load(model_folder(Path(network)))
        check_network(network, "Predictor")
        self.net: Network = network if device is None else network.to(_device(device))
        self.batch_size, self.threshold, self.exit_below = batch_size, threshold, exit_below
        self.objective = objective_of(self.net)
        self._check()

    def _check(self) -> None:
        if self.batch_size < 1:
            raise ConfigError(f"batch_size {self.batch_size} must be at least 1")
        if isinstance(self.exit_below, float | int) and not self.exit_below >= 0:
            raise ConfigError(f"exit_below {self.exit_below:g} is not an entropy in nats, e.g. 0.7")
        if not 0 <= self.threshold <= 1:
            raise ConfigError(f"threshold {self.threshold} is a probability: expected 0..1")
        net, names = self.net, self.net.class_names
        if _predicts_words(net):
            raise ConfigError(
                f"this network predicts words ({net.task or net.objective}), and predict is for "
                "networks that classify: `acn generate` continues a text with a causal-lm; a "
                "masked-lm becomes a classifier by training from it (model.init)"
            )
        if names is not None and net.classes is not None and len(names) != net.classes:
            raise ConfigError(
                f"{len(names)} class names are recorded for a network of {net.classes} classes: "
                "set net.class_names"
            )
        if self.exit_below is not None:
            self.objective.check_entropy()
            rule_for(net, self.exit_below)

        kind = _per_token(net)
        if kind:
            raise ConfigError(
                f"predict gives one answer per input, and this network ({kind}) answers for each "
                "token or span: call net(tensor) for its outputs"
            )

    @cached_property
    def reader(self) -> Reader:
        """Return the reader of pictures or texts, or raise ConfigError for other inputs."""
        return reader_of(self.net)

    def __call__(self, inputs: Any, top: int = 5) -> Any:
        """Return a :class:`Prediction` for a single input, or :class:`Predictions` for several.

        Args:
            inputs: For pictures: a path, a folder, a Pillow image, encoded bytes, an array (H, W)
                or (H, W, 3) of bytes. For texts: a string, or the path of a .txt file with one
                text per line (as a ``pathlib.Path``). A list of these, or a column of pandas or
                ``datasets``. A tensor (B, ...) is a batch as the network takes it; pixels as bytes
                are normalised.
            top: Number of classes in an answer.

        Raises:
            DataError: A single input, or each one of several, cannot be answered.
            ShapeError: The network cannot take the tensor.

        Warns:
            UserWarning: Some of the inputs cannot be answered (``prediction.error`` says why), or
                one was changed more than in training (``prediction.note``).
        """
        if isinstance(inputs, Tensor) or _is_batch(inputs):
            return Predictions(list(self._of_tensors(inputs, _checked_top(top))))
        reader = self.reader
        found = list(self.answers(reader.find(inputs), top))
        wrong = [one.error for one in found if one.error]
        if len(wrong) == len(found) and found:
            more = f" (and {len(wrong) - 1} more inputs)" if len(wrong) > 1 else ""
            raise DataError(f"{wrong[0]}{more}")
        if wrong:
            warnings.warn(
                f"{len(wrong)} of {len(found)} inputs have no answer, the first: {wrong[0]}",
                stacklevel=2,
            )
        notes = [one.note for one in found if one.note]
        if notes:
            more = f" ({len(notes)} inputs in all)" if len(notes) > 1 else ""
            warnings.warn(f"{notes[0]}{more}", stacklevel=2)
        single = is_single(inputs, reader.takes_texts, reader.pairs)
        return found[0] if single else Predictions(found)

    def answers(self, asked: Iterable[Asked], top: int = 5) -> Iterator[Prediction]:
        """Yield a prediction for each input, batch by batch, with the reason if there is no answer.

        Args:
            asked: The inputs, as ``reader.find`` yields them.
            top: Number of classes in an answer.
        """
        reader, left = self.reader, iter(asked)
        top = _checked_top(top)
        size = min(self.batch_size, reader.most or self.batch_size)
        while batch := list(islice(left, size)):
            yield from self._answered(batch, reader.prepare(batch), top)

    def _answered(self, batch: list[Asked], ready: Prepared, top: int) -> Iterator[Prediction]:
        answers: dict[int, Prediction] = {}
        if ready.source is not None:
            batches = network_batches(
                *(self.net, ready.source, self.batch_size), "given", self.reader.preprocess
            )
            rows = iter(ready.rows)
            for inputs, _ in batches:
                for said in self._said(inputs, top):
                    place = next(rows)
                    name, note = batch[place].name, ready.notes.get(place)
                    answers[place] = replace(said, input=name, note=note)
        for place, one in enumerate(batch):
            if place in answers:
                yield answers[place]
            else:
                yield Prediction(one.name, error=ready.errors[place])

    def _of_tensors(self, inputs: Any, top: int) -> Iterator[Prediction]:
        normalise = Normalise(recorded_preprocess(self.net), device_of(self.net))
        parts = dict(inputs) if isinstance(inputs, Mapping) else {"": inputs}
        sizes = {len(tensor) if tensor.dim() else 0 for tensor in parts.values()}
        if len(sizes) != 1 or sizes == {0}:
            raise DataError(f"expected tensors with one row per input, got {_shapes(parts)}")
        number = 0
        for start in range(0, sizes.pop(), self.batch_size):
            rows = slice(start, start + self.batch_size)
            some = {k: tensor[rows].to(device_of(self.net)) for k, tensor in parts.items()}
            x = some if isinstance(inputs, Mapping) else normalise.bytes(some[""])
            for said in self._said(as_floats_of(self.net, x), top):
                yield replace(said, input=str(number))
                number += 1

    def _said(self, inputs: Any, top: int) -> list[Prediction]:
        """Return the predictions of a batch that is ready for the network."""
        depths: list[int] | None = None
        with evaluating(self.net), takes(self.net, inputs):
            if self.exit_below is None:
                logits = self.net(inputs)
            else:
                out = early_exit(self.net, inputs, self.exit_below, count=False)
                logits, depths = out.logits, out.depths.tolist()
            if not bool(torch.isfinite(logits).all()):
                blame(self.net, inputs, "given")
        if logits.dim() != 2:
            raise ConfigError(
                "predict gives one answer per input, and this network answers for each token: its "
                f"outputs have shape {tuple(logits.shape)}; call net(tensor) for them"
            )
        found = self._in_words(logits.float().cpu(), top)
        if depths is None:
            return found
        return [replace(one, depth=depth) for one, depth in zip(found, depths, strict=True)]

    def _in_words(self, logits: Tensor, top: int) -> list[Prediction]:
        if isinstance(self.objective, Regression):
            return [Prediction("", values=tuple(row)) for row in logits.tolist()]
        names = self.net.class_names or [str(number) for number in range(logits.shape[1])]
        if len(names) != logits.shape[1]:
            raise ConfigError(
                f"{len(names)} class names are recorded, and the network has {logits.shape[1]} "
                "outputs: set net.class_names"
            )
        several = isinstance(self.objective, MultiLabel)
        shares = logits.sigmoid() if several else logits.softmax(1)
        best = shares.sort(stable=True, dim=1, descending=True)
        count = len(names) if several else top
        found = []
        for values, places in zip(
            best.values[:, :count].tolist(), best.indices[:, :count].tolist(), strict=True
        ):
            guesses = [Guess(names[n], v) for v, n in zip(values, places, strict=True)]
            if several:
                guesses = [guess for guess in guesses if guess.probability > self.threshold]
            first = guesses[0] if guesses else Guess("", 0.0)
            label, share = (first.name, first.probability) if guesses else (None, None)
            found.append(Prediction("", label, share, tuple(guesses)))
        return found


def model_folder(path: Path, exits: bool = False) -> Path:
    """Return the folder of the network to predict with: ``path``, its small/, or its model/.

    Args:
        path: A saved network or a run.
        exits: Whether inputs may leave early: a network of the run that has an exits.json then
            comes before one that has none.

    Raises:
        CheckpointError: None of them holds a saved network.
    """
    found = find_saved(path, "small", "model")
    for name in ("small", "model") if exits and found != path else ():
        if (path / name / EXITS).is_file():
            return find_saved(path / name)
    return found


def _per_token(net: Network) -> str:
    """Return the class of a network that answers for parts of a text; empty for another."""
    name = str(net.config.get("source", "")).removeprefix("hf:")
    return name if name.endswith(("TokenClassification", "QuestionAnswering")) else ""


def _predicts_words(net: Network) -> bool:
    """Return whether the outputs are words of a vocabulary."""
    if net.objective == "next token" or net.task in _OF_WORDS:
        return True
    return net.classes is None and not _OF_WORDS.isdisjoint(net.tasks)


def _device(name: torch.device | str) -> torch.device:
    """Return the device, or raise ConfigError if this machine does not have it."""
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, ValueError, NotImplementedError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ConfigError(f"device {str(name)!r} cannot be used here: {reason}") from None
    return device


def _is_batch(inputs: Any) -> bool:
    """Return whether it is a mapping of tensors, as transformers' tokenizers return."""
    return (
        isinstance(inputs, Mapping)
        and bool(inputs)
        and all(isinstance(value, Tensor) for value in inputs.values())
    )


def _shapes(parts: Mapping[str, Tensor]) -> str:
    return ", ".join(f"{name} {tuple(tensor.shape)}".strip() for name, tensor in parts.items())


def _checked_top(top: int) -> int:
    if type(top) is not int or top < 1:
        raise ConfigError(f"top {top!r} must be a whole number from 1 on: how many classes to show")
    return top
