"""Weights to zero, on top of the cut."""

from __future__ import annotations

import copy
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from autocompress.data import Splits
from autocompress.depth import probe
from autocompress.network import Network
from autocompress.pipeline import RunConfig
from autocompress.pruning import Pruner, prune, sparsity
from autocompress.reproduce.claim import (
    Arm,
    Claim,
    Finding,
    Results,
    Table,
    finding,
    register_claim,
)
from autocompress.reproduce.intervals import paired, paired_examples
from autocompress.reproduce.settings import CPU, PAPER, SMOKE, control
from autocompress.reproduce.words import cut_score, full_score, per_cent
from autocompress.reproduce.work import Work, examine, pack, unpack
from autocompress.training import fit

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Pruning", "PruningSettings"]

_NETS = {"ACN": "#0072b2", "residual": "#d55e00"}
_DENSE = "dense"

#: Pruned while it is trained on: name, score, share of what is left after each epoch.
_WHILE: dict[str, tuple[Any, float]] = {
    "movement 20 %": ("movement", 0.2),
    "movement 40 %": ("movement", 0.4),
    "last batch 20 %": ("saliency", 0.2),
}


@dataclass(frozen=True, kw_only=True)
class PruningSettings:
    """What is trained, and how it is pruned.

    Args:
        network: how the ACN is trained; ``control`` there is the residual network's.
        sparsities: shares of the blocks' weights that magnitude takes at once, after training.
        epochs: of training on while weights go; none after the last.
        lr: learning rate of that.
    """

    network: RunConfig
    sparsities: tuple[float, ...] = (0.2, 0.4, 0.6, 0.8, 0.9)
    epochs: int = 6
    lr: float = 1e-3


_PRESETS = {
    "smoke": PruningSettings(network=SMOKE, sparsities=(0.5, 0.9), epochs=2),
    "cpu": PruningSettings(
        network=replace(
            CPU, data=replace(CPU.data, train_limit=6_000), fit=replace(CPU.fit, epochs=8)
        ),
    ),
    "paper": PruningSettings(network=PAPER, lr=1e-4),
}
_COSTS = {"smoke": "seconds", "cpu": "5 core-minutes", "paper": "a GPU for days"}


@register_claim
class Pruning(Claim[PruningSettings]):
    """Magnitude at once; movement and the authors' last-batch score while training."""

    name = "pruning"
    shows = "score against sparsity and size, by magnitude and by movement"
    paper = (
        "BERT on SST-2, pruned by magnitude after fine-tuning, and by movement: 20 or 40 % of the "
        "remaining weights after each epoch. Its numbers are in a figure that we do not have; "
        "tested is that what pruning takes from an ACN is no more than what it takes from a "
        "residual network of the same sparsity."
    )
    presets = _PRESETS
    costs = _COSTS

    def describe(self, settings: PruningSettings) -> str:
        """Beside the settings: what is not as in the paper."""
        return (
            f"{super().describe(settings)}\n- weights go while the network trains on with the data "
            "that it knows; the paper's go while a pretrained network learns a new task, which is "
            "what movement pruning was made for"
        )

    def arms(self, settings: PruningSettings) -> list[Arm]:
        arms = []
        for net in _NETS:
            dense = f"{net}, {_DENSE}"
            arms += [Arm(dense), *(Arm(f"{net}, {name}", after=(dense,)) for name in _WHILE)]
        return arms

    def run(self, settings: PruningSettings, arm: str, work: Work) -> dict[str, Any]:
        name, _, kind = arm.partition(", ")
        config = work.seeded(settings.network)
        if name == "residual":
            config = control(config)
        data = work.load(config.data)
        if kind == _DENSE:
            net, seconds = work.train(config, data)
            scores = examine(net, data)
            at_once = {
                str(share): _pruned(net, data, scores["selected"], share)
                for share in settings.sparsities
            }
            return {**scores, **work.told(seconds), "magnitude": at_once}
        net = work.network(f"{name}, {_DENSE}")
        score, share = _WHILE[kind]
        again = replace(config.fit, epochs=settings.epochs, lr=settings.lr, warmup_epochs=0.0)
        fit(
            net,
            data.train,
            data.validation,
            again,
            augment=config.augment,
            hooks=[Pruner(share, score)],
            progress=False,
        )
        return {**examine(net, data), "sparsity": round(sparsity(net), 4), "left": _left(net)}

    def verdict(self, settings: PruningSettings, results: Results) -> list[Finding]:
        found = []
        dense = {net: results.of(f"{net}, {_DENSE}") for net in _NETS}
        for share in map(str, settings.sparsities):
            hits = {
                net: [unpack(run["magnitude"][share]["full"]) for run in runs]
                for net, runs in dense.items()
            }
            lost = {
                net: [run["test"][-1] - run["magnitude"][share]["test"] for run in runs]
                for net, runs in dense.items()
            }
            words = f"magnitude, {100 * float(share):g} % of the weights at once"
            found += [
                _better(words, paired_examples(hits["ACN"], hits["residual"])),
                _loses(words, lost),
            ]
        for kind in _WHILE:
            runs = {net: results.of(f"{net}, {kind}") for net in _NETS}
            gone = f"{100 * statistics.fmean(run['sparsity'] for run in runs['ACN']):.0f} %"
            words = f"{kind} an epoch ({gone} in the end)"
            hits = {net: [unpack(r["hits"]["full"]) for r in runs[net]] for net in _NETS}
            lost = {
                net: [
                    before["test"][-1] - after["test"][-1]
                    for before, after in zip(dense[net], runs[net], strict=True)
                ]
                for net in _NETS
            }
            found += [
                _better(words, paired_examples(hits["ACN"], hits["residual"])),
                _loses(words, lost),
            ]
        return found

    def table(self, settings: PruningSettings, results: Results) -> Table:
        rows = []
        for net in _NETS:
            runs = results.of(f"{net}, {_DENSE}")
            depths = ", ".join(str(run["selected"]) for run in runs)
            rows.append(
                (
                    f"{net}, {_DENSE}",
                    "0 %",
                    f"{runs[0]['parameters'][-1]:,}",
                    full_score(runs),
                    depths,
                    cut_score(runs),
                )
            )
            for share in settings.sparsities:
                pruned = [run["magnitude"][str(share)] for run in runs]
                rows.append(
                    (
                        f"{net}, magnitude at once",
                        f"{100 * share:g} %",
                        f"{pruned[0]['left']:,}",
                        per_cent([p["test"] for p in pruned]),
                        depths,
                        per_cent([p["test_cut"] for p in pruned]),
                    )
                )
            for kind in _WHILE:
                after = results.of(f"{net}, {kind}")
                rows.append(
                    (
                        f"{net}, {kind} an epoch",
                        f"{100 * after[0]['sparsity']:.0f} %",
                        f"{after[0]['left']:,}",
                        full_score(after),
                        ", ".join(str(run["selected"]) for run in after),
                        cut_score(after),
                    )
                )
        headings = ("network", "sparsity", "weights left", "test, full", "depth", "test, cut")
        return Table(headings, rows)

    def draw(self, figure: Figure, settings: PruningSettings, results: Results) -> None:
        axes, right = figure.subplots(1, 2, sharey=True)
        for net, colour in _NETS.items():
            runs = results.of(f"{net}, {_DENSE}")
            shares = [0.0, *settings.sparsities]
            for panel, key, full in ((axes, "test", -1), (right, "test_cut", None)):
                means = [
                    100
                    * statistics.fmean(
                        run["test"][run["selected"] if full is None else full]
                        if not share
                        else run["magnitude"][str(share)][key]
                        for run in runs
                    )
                    for share in shares
                ]
                panel.plot([100 * s for s in shares], means, "o-", color=colour, ms=4, label=net)
            for kind, marker in zip(_WHILE, "^vs", strict=True):
                after = results.of(f"{net}, {kind}")
                at = 100 * statistics.fmean(run["sparsity"] for run in after)
                score = 100 * statistics.fmean(run["test"][-1] for run in after)
                axes.plot(at, score, marker, color=colour, mfc="none", label=f"{net}, {kind}")
        axes.set(xlabel="sparsity of the blocks, %", ylabel="test accuracy, %", title="all layers")
        right.set(xlabel="sparsity of the blocks, %", title="cut, then magnitude at once")
        axes.legend(fontsize=6)
        for panel in (axes, right):
            panel.grid(alpha=0.25)


def _pruned(net: Network, data: Splits, selected: int, share: float) -> dict[str, Any]:
    """Test scores without the smallest weights, of the whole network and of the cut one."""
    whole = copy.deepcopy(net)
    prune(whole, share)
    curve = probe(whole, data.test)
    small = net.cut(selected)
    if selected:
        prune(small, share)
    return {
        "test": round(curve.scores[-1], 6),
        "full": pack(curve.hits[:, -1]),
        "left": _left(whole),
        "test_cut": round(probe(small, data.test).scores[-1], 6),
    }


def _left(net: Network) -> int:
    """Weights that are not zero."""
    return sum(int((p != 0).sum()) for p in net.parameters())


def _better(words: str, estimate: Any) -> Finding:
    return finding(
        f"{words}: the ACN is more accurate than the residual network",
        estimate,
        least=0.0,
        unit="points",
        scale=100,
        of_paper=False,
    )


def _loses(words: str, lost: Mapping[str, Sequence[float]]) -> Finding:
    return finding(
        f"{words}: the ACN loses no more than the residual network",
        paired(lost["residual"], lost["ACN"]),
        least=-0.01,
        unit="points",
        scale=100,
    )
