"""Views of a host network: the same weights, with some of its modules replaced."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from autocompress.sharded import shallow, twin_of

__all__ = ["Memo", "recorders", "replaced", "replayers"]


def replaced(host: nn.Module, modules: dict[str, nn.Module]) -> nn.Module:
    """Return a view of ``host`` with the modules at these paths replaced and all weights shared.

    Only the modules on the way are copied, and those shallowly; the host is unchanged.
    """
    twin = twin_of(host)
    twin._modules = dict(host._modules)
    deeper: dict[str, dict[str, nn.Module]] = {}
    for path, module in modules.items():
        first, _, rest = path.partition(".")
        if rest:
            deeper.setdefault(first, {})[rest] = module
        else:
            twin._modules[first] = module
    for first, below in deeper.items():
        child = host._modules[first]
        assert child is not None
        twin._modules[first] = replaced(child, below)
    return twin


#: Outputs of each module before the trunk, by path, in the order of its calls.
Memo = dict[str, deque[Any]]


def recorders(
    host: nn.Module, paths: Sequence[str], memo: Memo, copies: bool
) -> dict[str, nn.Module]:
    """Return twins of all modules without a trunk, which record their outputs in ``memo``.

    Args:
        host: The host.
        paths: Paths of its trunks.
        memo: Dictionary in which outputs are recorded.
        copies: Whether to record copies, for a host that may change outputs in place.
    """
    return {name: _recorder(module, name, memo, copies) for name, module in _beside(host, paths)}


def replayers(host: nn.Module, memo: Memo, copies: bool) -> dict[str, nn.Module]:
    """Return twins that return the outputs in ``memo``, call by call, without computing."""
    return {
        name: _replayer(host.get_submodule(name), outputs, copies) for name, outputs in memo.items()
    }


def _beside(host: nn.Module, paths: Sequence[str], at: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Yield the largest modules below ``at`` that neither are nor contain a trunk."""
    for name, child in host.named_children():
        path = at + name
        if path in paths:
            continue
        if any(trunk.startswith(path + ".") for trunk in paths):
            yield from _beside(child, paths, path + ".")
        else:
            yield path, child


def _recorder(module: nn.Module, name: str, memo: Memo, copies: bool) -> nn.Module:
    def note(_: nn.Module, __: Any, out: Any) -> None:
        memo.setdefault(name, deque()).append(_copied(out) if copies else out)

    twin = shallow(module)
    twin._forward_hooks = OrderedDict(module._forward_hooks)
    twin.register_forward_hook(note)
    return twin


def _copied(out: Any) -> Any:
    """Return a module's output with tensors of its own, as the host may change them in place."""
    return tree_map_only(Tensor, Tensor.clone, out)


def _replayer(module: nn.Module, outputs: deque[Any], copies: bool) -> nn.Module:
    left = deque(outputs)

    def forward(*args: Any, **kwargs: Any) -> Any:
        if not left:
            return module(*args, **kwargs)
        return _copied(left.popleft()) if copies else left.popleft()

    twin = shallow(module)
    twin._forward_hooks, twin._forward_pre_hooks = OrderedDict(), OrderedDict()
    twin.forward = forward
    return twin
