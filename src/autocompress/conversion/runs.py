"""What a trunk in a host does in one pass instead of running all its layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from torch import Tensor

from autocompress.conversion.host import Call, HostTrunk
from autocompress.trunk import Trunk

__all__ = ["ArrivedError", "counting", "go_on", "hand_back", "hand_on", "run_to", "stop_here"]


class ArrivedError(Exception):
    """How a pass is stopped where a trunk begins; carries what the trunk was given."""

    def __init__(self, x: Tensor, calls: Sequence[Call]) -> None:
        self.x, self.calls = x, calls


def counting(
    run: Any, counts: list[int], stage: int, trunk: HostTrunk, x: Tensor, calls: Sequence[Call]
) -> Tensor:
    """Do ``run`` and count that the trunk of this stage was called."""
    counts[stage] += 1
    return cast(Tensor, run(trunk, x, calls))


def hand_back(trunk: HostTrunk, x: Tensor, calls: Sequence[Call]) -> Tensor:
    """Return what the trunk was given, as if it had no layers."""
    return x


def stop_here(trunk: HostTrunk, x: Tensor, calls: Sequence[Call]) -> Tensor:
    """Raise what the trunk was given: the pass is over before the first layer."""
    raise ArrivedError(x, calls)


def hand_on(readout: Tensor | None, trunk: HostTrunk, x: Tensor, calls: Sequence[Call]) -> Any:
    """Return a readout that was made before."""
    return readout


def go_on(
    trunk: HostTrunk,
    x: Tensor,
    calls: Sequence[Call],
    first: int,
    state: Any,
    depth: int,
    seen: list[Any],
) -> Tensor:
    """Go on from a state at depth ``first`` to ``depth``; append the last state to ``seen``."""
    state = trunk.connectivity.begin(x) if state is None else state
    *_, last = trunk.onwards(state, first, depth, calls=calls)
    seen.append(last)
    return trunk.connectivity.readout(last)


def run_to(
    trunk: HostTrunk, x: Tensor, calls: Sequence[Call], depth: int, mediated: float
) -> Tensor:
    """Run the first ``depth`` layers."""
    return Trunk.forward(trunk, x, depth, mediated, calls=calls)
