"""Whether a study's residual controls have converged: only then it may judge a claim.

The paper compares networks that are trained to the end. In a run that is too short, every layer is
still needed and the way that learns fastest wins, whatever the connections are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from autocompress.statistics import late_gain
from autocompress_studies.results import K, Results, name_of
from autocompress_studies.work import TOLERANCE

__all__ = ["Control", "controls", "convergence_words"]


@dataclass(frozen=True)
class Control:
    """The residual network that the others of a study, or of one of its tasks, are compared with.

    Args:
        arm: Its name.
        task: First words of the statements that it decides on, up to a colon or comma; empty for
            all of the study.
        gain: Rise of its best validation score in the last epochs, a fraction, mean of seeds;
            where no epochs are recorded, the most by which it can still rise.
        by_epoch: Whether epochs are recorded for every seed.
    """

    arm: str
    task: str
    gain: float
    by_epoch: bool = True

    @property
    def converged(self) -> bool:
        """Return whether that is at most the tolerance by which depths are compared."""
        return self.gain <= TOLERANCE

    def decides(self, statement: str) -> bool:
        """Return whether it is the control of a statement."""
        rest = statement.removeprefix(self.task)
        return not self.task or (rest != statement and rest.startswith((":", ",")))


def controls(results: Results[K]) -> Iterator[Control]:
    """Yield the residual control of each task of a study.

    It is the first arm of the task with the part ``residual`` in its name. An arm without
    validation scores of at least four epochs (``by_epoch``) is left out, as nobody can tell, unless
    so little is missing to a score of 1 that it cannot gain more than the tolerance.
    """
    seen = set[str]()
    for key in results.keys:
        before, found, _ = f", {name_of(key)},".partition(", residual,")
        task = before.removeprefix(", ")
        runs = results.of(key) if found and task not in seen else []
        late = [late_gain(run.get("by_epoch", ())) for run in runs]
        pairs = zip(runs, late, strict=True)
        gains = [_missing(run) if gain is None else gain for run, gain in pairs]
        known = [gain for gain in gains if gain is not None]
        if known and len(known) == len(gains):
            seen.add(task)
            yield Control(name_of(key), task, fmean(known), None not in late)


def _missing(run: Mapping[str, Any]) -> float | None:
    """Return what is missing to a score of 1; None if it is more than the tolerance."""
    missing = 1 - max(run.get("validation") or [0.0])
    return missing if missing <= TOLERANCE else None


def convergence_words(found: Sequence[Control]) -> str:
    """Return sentences on the controls of a study."""
    if not found:
        return "Whether the residual control has converged was not recorded."
    measured = "; ".join(
        f"{each.arm} {100 * each.gain:+.1f} points ({'' if each.converged else 'not '}converged)"
        for each in found
        if each.by_epoch
    )
    at_top = "; ".join(
        f"{each.arm} at most {100 * each.gain:.1f} points (converged)"
        for each in found
        if not each.by_epoch
    )
    sentences = []
    if measured:
        sentences.append(
            "Best validation score of the residual control, last quarter of the epochs against "
            f"all before: {measured}."
        )
    if at_top:
        sentences.append(
            "Epochs were not recorded, but so little is missing to a score of 100 % that the "
            f"residual control could still gain next to nothing: {at_top}."
        )
    return " ".join(sentences)
