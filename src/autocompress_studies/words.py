"""Describe settings in words, and format the cells of tables."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from autocompress.pipeline import ModelConfig, RunConfig
from autocompress.printing import markdown
from autocompress_studies.results import Results, Runs, name_of

__all__ = ["COLUMNS", "by_arm", "by_data", "cut_score", "describe_settings", "each", "full_score"]
__all__ += ["layers_needed", "parameters_kept", "per_cent", "shared", "spread"]

#: Makes the text of a cell from an arm's runs.
Cell = Callable[[Runs], str]


def describe_settings(settings: Any) -> str:
    """Return the runs of a study's settings, a line each, and their other options."""
    lines, rest = [], []
    for field in fields(settings):
        value = getattr(settings, field.name)
        name = field.name.replace("_", " ")
        runs = value if isinstance(value, dict) else {name: value}
        if all(isinstance(run, RunConfig) for run in runs.values()) and runs:
            lines += [f"- {key}: {_run(run)}" for key, run in runs.items()]
        elif not is_dataclass(value):
            rest.append(f"{name} = {_listed(value)}")
    return "\n".join([*lines, *([f"- other settings: {'; '.join(rest)}"] if rest else [])])


def _run(run: RunConfig) -> str:
    data, fit, augment = run.data, run.fit, run.augment
    kind = "texts" if data.is_text else "images"
    kept = f"all training {kind}" if data.train_limit is None else f"{data.train_limit:,} {kind}"
    size = f" of at most {data.length} tokens" if data.is_text else ""
    own = data.validation_limit
    aside = (
        f"{100 * data.validation:.3g} % of them for validation"
        if own is None
        else (f"{own} more for validation")
    )
    length = "1 epoch" if fit.epochs == 1 else f"{fit.epochs} epochs"
    used = [
        f"{data.name}, {kept}{size} ({aside})",
        *([] if run.model.depth is None else [_model(run.model)]),
        f"{length}, batch {fit.batch_size}, learning rate {fit.lr:g}",
    ]
    if fit.clip_norm is not None and fit.clip_norm < 1e-3:
        used.append(f"gradients clipped at {fit.clip_norm:.1e}")
    kinds = {
        f"crops of {augment.crop_padding} pixels" + (" twice" if augment.crops == 2 else ""): (
            augment.crop_padding
        ),
        "flips": augment.flip,
        "AutoAugment": augment.auto_augment,
        f"CutMix {augment.cutmix:g}": augment.cutmix,
        f"MixUp {augment.mixup:g}": augment.mixup,
    }
    used += [name for name, on in kinds.items() if on]
    return "; ".join(used)


def _model(model: ModelConfig) -> str:
    name = {"mixer": "Mixer", "vit": "ViT", "mlp": "MLP"}.get(model.name, model.name)
    width, patch = model.options.get("width"), model.options.get("patch_size")
    size = [
        "" if width is None else f"of width {width}",
        "" if patch is None else f"patches of {patch}",
    ]
    return ", ".join(
        [f"{name} with {model.depth} layers {size[0]}".strip(), *filter(None, size[1:])]
    )


def _listed(value: Any) -> str:
    """Return values in words.

    >>> _listed({"SI": 1.0, "dense": {"channels": 48}}), _listed((0.5, 2.0))
    ('SI: 1, dense (channels: 48)', '0.5, 2')
    """
    if isinstance(value, dict):
        said = {key: _listed(v) for key, v in value.items()}
        nested = {key for key, v in value.items() if isinstance(v, dict | list | tuple)}
        return ", ".join(f"{k} ({v})" if k in nested else f"{k}: {v}" for k, v in said.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_listed, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def by_arm(
    heading: str,
    *columns: str | Mapping[str, Cell],
    of_key: Mapping[str, Callable[[Results[Any], Any], str]] | None = None,
    where: Callable[[Results[Any], Any], bool] = lambda results, key: True,
) -> Callable[[Any, Results[Any]], str]:
    """Return the ``table`` of a study that has a row for each arm.

    Args:
        heading: Heading of the first column, the arm's name.
        columns: Names of columns in :data:`COLUMNS`, and the study's own as functions from an arm's
            runs to the text of a cell, by heading.
        of_key: Columns at the end, as functions of all results and an arm's key.
        where: Function of the same that says whether the arm has a row.
    """
    cells: dict[str, Cell] = {}
    for column in columns:
        cells |= {column: COLUMNS[column]} if isinstance(column, str) else column

    last = of_key or {}

    def table(settings: Any, results: Results[Any]) -> str:
        rows = []
        for key in [key for key in results.keys if where(results, key)]:
            texts = [cell(results.of(key)) for cell in cells.values()]
            rows.append((name_of(key), *texts, *(cell(results, key) for cell in last.values())))
        return markdown((heading, *cells, *last), rows)

    return table


def by_data(
    heading: str,
    nets: Iterable[Any],
    shown: Callable[[Any], Iterable[str]],
    seen: Callable[[Results[Any], str], Results[Any]],
    titled: Callable[[str], str] = str,
) -> Callable[[Any, Results[Any]], str]:
    """Return the ``table`` of a study that has a row for each kind of test data.

    It shows every network's accuracy with all layers and at the depth that validation chose.

    Args:
        heading: Heading of the first column, the data.
        nets: Keys of the arms.
        shown: Function of the settings that returns the names of the data.
        seen: Function of all results and a name that returns the results on those data.
        titled: Function of a name that returns its words.
    """
    scores = {"": full_score, ", cut": cut_score}
    cells = {f"{name_of(net)}{cut}": (net, scores[cut]) for net in nets for cut in scores}

    def table(settings: Any, results: Results[Any]) -> str:
        rows = []
        for name in shown(settings):
            on = seen(results, name)
            rows.append((titled(name), *(cell(on.of(net)) for net, cell in cells.values())))
        return markdown((heading, *cells), rows)

    return table


def per_cent(values: Sequence[float]) -> str:
    """Return mean and deviation over seeds of fractions, in per cent.

    >>> per_cent([0.5, 0.52]), per_cent([0.5])
    ('51.0 ± 1.4', '50.0')
    """
    return spread([100 * value for value in values])


def full_score(runs: Runs) -> str:
    """Return the test accuracy of all layers; the runs are what :func:`examine` made."""
    return per_cent([run["test"][-1] for run in runs])


def cut_score(runs: Runs) -> str:
    """Return the test accuracy at the depth that validation chose."""
    return per_cent([run["test"][run["selected"]] for run in runs])


def layers_needed(runs: Runs) -> str:
    """Return the depth that validation chose, over the number of layers, seed by seed.

    >>> layers_needed([{"selected": 2, "test": [0.1, 0.5, 0.9, 0.9]}])
    '2/3'
    """
    return each(f"{run['selected']}/{len(run['test']) - 1}" for run in runs)


def parameters_kept(runs: Runs) -> str:
    """Return the mean number of parameters at the depth that validation chose."""
    return f"{sum(run['parameters'][run['selected']] for run in runs) // len(runs):,}"


def share_needed(runs: Runs) -> str:
    """Return the depth that validation chose as a share of all layers, the mean over seeds.

    >>> share_needed([{"selected": 1, "test": [0.1, 0.9, 0.9]}])
    '50 %'
    """
    share = statistics.fmean(run["selected"] for run in runs) / (len(runs[0]["test"]) - 1)
    return f"{100 * share:.0f} %"


def best_epoch(runs: Runs) -> str:
    """Return the epoch with the best validation score, seed by seed.

    >>> best_epoch([{"by_epoch": [0.2, 0.8, 0.7]}])
    '2'
    """
    return shared(1 + run["by_epoch"].index(max(run["by_epoch"])) for run in runs)


def each(values: Iterable[object]) -> str:
    """Return one value for each seed.

    >>> each([3, 4])
    '3, 4'
    """
    return ", ".join(map(str, values))


def shared(values: Iterable[object]) -> str:
    """Return the value that all seeds share, or one for each where they differ.

    >>> shared([3, 3]), shared([3, 4])
    ('3', '3, 4')
    """
    shown = list(dict.fromkeys(values := list(values)))
    return str(shown[0]) if len(shown) == 1 else each(values)


#: Columns that many tables have, by heading; the runs are what ``examine`` makes.
COLUMNS: dict[str, Cell] = {
    "seeds": lambda runs: str(len(runs)),
    "test, full": full_score,
    "layers needed": layers_needed,
    "depth used": share_needed,
    "test, cut": cut_score,
    "parameters, cut": parameters_kept,
    "train": lambda runs: per_cent([run["train"][-1] for run in runs]),
    "test loss": lambda runs: spread([run["test_loss"][-1] for run in runs], 2),
    "train loss": lambda runs: spread([run["train_loss"][-1] for run in runs], 2),
    "epochs": lambda runs: shared(run["epochs"] for run in runs),
    "best epoch": best_epoch,
    "learning rate chosen": lambda runs: each(f"{run['rate']:g}" for run in runs),
}


def spread(values: Sequence[float], digits: int = 1, sign: str = "") -> str:
    """Return mean and deviation over seeds.

    >>> spread([1.0, 2.0, 3.0]), spread([1.0], sign="+")
    ('2.0 ± 1.0', '+1.0')
    """
    mean = f"{statistics.fmean(values):{sign}.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.{digits}f}"
