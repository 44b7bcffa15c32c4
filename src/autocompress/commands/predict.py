"""``acn predict``: name what files or texts show."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autocompress.commands.common import Common, model, place
from autocompress.commands.own import load_own
from autocompress.commands.shared import data_of
from autocompress.depth import ExitRecord, ExitRule, exit_curve
from autocompress.errors import ConfigError, DataError
from autocompress.network import Network
from autocompress.pipeline import find_run
from autocompress.predict import Predictor
from autocompress.predict.answers import one_line
from autocompress.predict.predictor import model_folder
from autocompress.predict.spoken import find_words

__all__ = ["STREAMS", "Options", "run"]

#: It prints each answer as soon as it is there.
STREAMS = True

#: Exit status if some inputs have an answer and others have none.
PARTLY = 1


@dataclass(frozen=True, kw_only=True)
class Options(Common):
    """Options of ``acn predict``.

    Args:
        json: Whether to print one JSON object per line instead of text.
        quiet: Whether to leave out notes on inputs.
        top: Number of classes to show.
        threshold: Probability above which a label of a multi-label network is shown.
        exit: Whether each input exits as early as it can, by the exits.json beside the network
            (acn exit writes it) or else a threshold chosen on the validation data of the run.
        exit_below: Entropy in nats below which an input exits.
        device: Device to compute on, e.g. cuda.
        batch_size: Inputs per pass.
        import_: Your own class of the network, package.module:Class, or only a module
            that registers its parts.
    """

    model: str = model()
    inputs: tuple[str, ...] = place(
        "Pictures and folders of them, or texts and .txt files with one text per line; - reads "
        "standard input."
    )
    top: int = 3
    threshold: float = 0.5
    exit: bool = False
    exit_below: float | None = None
    device: str | None = None
    batch_size: int = 256
    import_: str | None = None


def run(args: Options) -> int:
    """Print one line per input; return 1 if some of them have no answer."""
    folder = model_folder(Path(args.model), args.exit and args.exit_below is None)
    net = load_own(folder, args.import_)
    predictor = Predictor(
        net,
        device=args.device,
        batch_size=args.batch_size,
        threshold=args.threshold,
        exit_below=_limit(args, folder, net),
    )
    if predictor.reader.takes_texts and not args.quiet:
        _note_missing(args.inputs)
    answered = 0
    wrong: list[str] = []
    asked = find_words(args.inputs, predictor.reader, sys.stdin.buffer)
    for number, said in enumerate(predictor.answers(asked, args.top)):
        if number == 1 and wrong:  # held back: of a single input, it is the command's error
            _tell("error", wrong[0])
        if said.error is None:
            answered += 1
        else:
            wrong.append(said.error)
        if args.json:
            print(json.dumps(said.to_json(), allow_nan=False), flush=True)
        elif said.error is None:
            print(said, flush=True)
        _tell("error", said.error if number else None)
        _tell("note", None if args.quiet else said.note)
    if not answered:
        _refuse(wrong)
    return PARTLY if wrong else 0


def _limit(args: Options, folder: Path, net: Network) -> float | ExitRule | None:
    """Return the exits, or the entropy below which an input leaves; None if none does."""
    if args.exit_below is not None or not args.exit:
        return args.exit_below
    path = Path(args.model)
    record = ExitRecord.load(folder)
    if record is not None:
        return record.rule
    if find_run(path) is None:
        raise ConfigError(
            f"{path} belongs to no run, so there are no validation data to choose a threshold for "
            "--exit: give one, e.g. --exit-below 0.4 (acn exit shows what it costs)"
        )
    Predictor(net, exit_below=0.0)  # refused before data are read
    curve = exit_curve(net, data_of(path, None, net).validation)
    return curve.calibrate(0.005).threshold


def _note_missing(words: Sequence[str]) -> None:
    """Say of words that name no file, and look like one, that they are answered as texts."""
    for word in words:
        if word.lower().endswith(".txt") and not word.split()[1:] and not os.path.exists(word):
            _tell("note", f"there is no file {word}: the word itself is answered, as a text")


def _tell(kind: str, message: Any) -> None:
    if message:
        print(f"acn: {kind}: {one_line(message, 1000)}", file=sys.stderr, flush=True)


def _refuse(wrong: list[str]) -> None:
    if not wrong:
        raise DataError("there is no input to predict for: standard input or the file is empty")
    if len(wrong) == 1:
        raise DataError(wrong[0])
    raise DataError(f"none of the {len(wrong)} inputs has an answer")
