"""The random numbers of a run: how they are seeded, and which states a checkpoint keeps.

Every epoch seeds the global generators from (seed, epoch). Data may also draw from generators of
their own: a DataLoader's, its sampler's, or one that a data set uses for augmentation. Their states
go into the checkpoints, so that the order of a resumed run continues.
"""

from __future__ import annotations

import logging
import random
import types
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from accelerate.utils import set_seed
from torch.utils.data import DataLoader

from autocompress.errors import CheckpointError, ConfigError
from autocompress.training.inputs import Data

__all__ = [
    "check_workers",
    "data_states",
    "global_states",
    "random_state_restored",
    "restore_data",
    "restore_global",
    "seed_epoch",
    "seeded_apart",
]

#: Limits of the search for generators below the data: its depth, and its number of objects.
_DEEPEST, _MOST = 5, 10_000


def seed_epoch(seed: int, epoch: int) -> None:
    """Seed the generators of Python, numpy and torch for one epoch (from 0) of a run."""
    set_seed((seed * 100_003 + epoch) % 2**32)  # numpy's limit


@contextmanager
def seeded_apart(data: Data, seed: int = 0) -> Iterator[None]:
    """Seed the global generators and those of the data for a block, and restore them after it.

    What is drawn from ``data`` in the block is the same each time, and a training that goes on
    after it draws what it would have drawn without it.
    """
    own = [(generator, _plain(generator)) for _, generator in _generators(data)]
    with random_state_restored():
        try:
            seed_epoch(seed, 0)
            for generator, _ in own:
                _seed(generator, seed)
            yield
        finally:
            for generator, state in own:
                _restore(generator, state)


@contextmanager
def random_state_restored() -> Iterator[None]:
    """Restore the generators of Python, numpy and torch after a block, whatever it draws."""
    before = global_states()
    try:
        yield
    finally:
        restore_global(before)


# -- the global generators -------------------------------------------------------------------------


def global_states() -> dict[str, Any]:
    """Return the states of the generators of Python, numpy and torch, for a checkpoint."""
    return {
        "python": _python(random.getstate()),
        "numpy": _listed(np.random.get_state(legacy=False)),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all(),
    }


def restore_global(states: dict[str, Any]) -> None:
    """Restore the generators to the states that :func:`global_states` returned."""
    if "python" in states:  # earlier versions stored only torch's
        random.setstate(_tuples(states["python"]))
        np.random.set_state(states["numpy"])
    torch.set_rng_state(states["torch"])
    if states["cuda"]:
        torch.cuda.set_rng_state_all(states["cuda"])


# -- the generators of data ------------------------------------------------------------------------


def check_workers(data: Data) -> None:
    """Raise ConfigError for data whose random states a checkpoint cannot hold.

    Persistent workers keep random states that no other process can read.
    """
    if isinstance(data, DataLoader) and data.num_workers and data.persistent_workers:
        raise ConfigError(
            "a DataLoader with persistent_workers=True keeps random states in its workers, which "
            "no checkpoint can hold, so a resumed run would not be the same run: make it with "
            "persistent_workers=False, or train without a run folder"
        )


def data_states(data: Data) -> dict[str, Any]:
    """Return the states of all generators that ``data`` and their samplers own, by their path."""
    return {place: _plain(generator) for place, generator in _generators(data)}


def restore_data(data: Data, states: dict[str, Any]) -> None:
    """Restore the generators of ``data`` to the states that :func:`data_states` returned.

    Raises:
        CheckpointError: The data have other generators than those of the earlier run.
    """
    found = dict(_generators(data))
    if found.keys() != states.keys():
        lost, new = sorted(states.keys() - found.keys()), sorted(found.keys() - states.keys())
        raise CheckpointError(
            "the data draw from other generators than when the checkpoint was written "
            f"(then {lost or 'no others'}, now {new or 'no others'}): give the same data and "
            "sampler as before, or train into a new folder"
        )
    for place, generator in found.items():
        _restore(generator, states[place])


def _generators(owner: Any) -> Iterator[tuple[str, Any]]:
    """Yield each generator below ``owner`` once, with the attributes that lead to it."""
    seen: set[int] = set()
    todo: deque[tuple[str, Any, int]] = deque([("", owner, 0)])
    while todo and len(seen) < _MOST:
        place, value, depth = todo.popleft()
        if value is None or id(value) in seen or isinstance(value, _OPAQUE):
            continue
        seen.add(id(value))
        if _is_generator(value):
            yield place, value
        elif depth < _DEEPEST:
            todo.extend((f"{place}.{name}", item, depth + 1) for name, item in _parts(value))


#: Types that cannot hold a generator of the data's own.
_OPAQUE = (
    *(str, bytes, int, float, complex, torch.Tensor, np.ndarray, torch.nn.Module),
    *(type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType, logging.Logger),
)


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the parts that may hold generators: attributes, and items of short containers."""
    if isinstance(value, list | tuple) and len(value) <= 32:
        yield from ((str(index), item) for index, item in enumerate(value))
    elif isinstance(value, dict) and len(value) <= 32:
        yield from ((str(key), item) for key, item in value.items())
    elif hasattr(value, "__dict__"):
        yield from sorted(vars(value).items())


def _is_generator(value: Any) -> bool:
    kinds = (torch.Generator, np.random.Generator, np.random.RandomState, random.Random)
    return isinstance(value, kinds) and not isinstance(value, random.SystemRandom)  # has no state


def _seed(generator: Any, seed: int) -> None:
    if isinstance(generator, torch.Generator):
        generator.manual_seed(seed)
    elif isinstance(generator, np.random.Generator):
        generator.bit_generator.state = type(generator.bit_generator)(seed).state
    else:
        generator.seed(seed)


def _plain(generator: Any) -> Any:
    """Return a generator's state as tensors and plain values."""
    if isinstance(generator, torch.Generator):
        return generator.get_state()
    if isinstance(generator, np.random.Generator):
        return _listed(generator.bit_generator.state)
    if isinstance(generator, np.random.RandomState):
        return _listed(generator.get_state(legacy=False))
    return _python(generator.getstate())


def _restore(generator: Any, state: Any) -> None:
    if isinstance(generator, torch.Generator):
        generator.set_state(state)
    elif isinstance(generator, np.random.Generator):
        generator.bit_generator.state = state
    elif isinstance(generator, np.random.RandomState):
        generator.set_state(state)
    else:
        generator.setstate(_tuples(state))


def _python(state: Any) -> list[Any]:
    """Return the state of a Python generator with its words as a list."""
    version, words, gauss = state
    return [version, list(words), gauss]


def _tuples(state: list[Any]) -> tuple[Any, ...]:
    version, words, gauss = state
    return version, tuple(words), gauss


def _listed(value: Any) -> Any:
    """Return numpy's state with arrays as lists."""
    if isinstance(value, dict):
        return {key: _listed(item) for key, item in value.items()}
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value
