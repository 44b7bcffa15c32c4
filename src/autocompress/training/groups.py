"""Parameter groups: which parameters learn at which rate, and which of them decay."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatch
from typing import Any

from torch import nn

from autocompress.network import Network
from autocompress.training.config import FitConfig

__all__ = ["layer_ids", "parameter_groups", "undecayed"]

#: Names of class tokens and learned positions in libraries that do not declare what should not
#: decay, above all transformers. Only parameters outside the layers are matched.
_TOKENS_AND_POSITIONS = re.compile(
    r"(^|\.)((cls|class|dist|distillation|mask|reg|register)_(tokens?|embedding)"
    r"|(abs_)?pos(ition|itional)?_embed(ding|dings)?|embed_positions|wpe)(\.weight)?$"
)


def parameter_groups(net: Network, config: FitConfig) -> list[dict[str, Any]]:
    """Return the optimizer's groups: parameters that share learning rate, decay and use of Muon.

    A parameter decays if it has more than one axis, is not a gate and is not among
    :func:`undecayed`. Its rate is ``lr * layer_decay ** (highest - id)`` with the ids of
    :func:`layer_ids`; gates learn at ``lr * gate_lr`` in every layer.

    Args:
        net: The network; frozen parameters are in no group.
        config: The rates and the decay.
    """
    rules = {id(p) for trunk in net.trunks for p in trunk.connectivity.parameters()}
    gates = {id(p) for trunk in net.trunks for p in trunk.connectivity.gate_parameters()}
    inside = {id(p) for trunk in net.trunks for block in trunk.blocks for p in block.parameters()}
    kept = undecayed(net)
    ids = layer_ids(net) if config.layer_decay != 1 else {}
    highest = max(ids.values(), default=0)
    members: dict[tuple[float, bool, bool], list[nn.Parameter]] = {}
    for name, p in net.named_parameters():
        if p.requires_grad:
            decays = p.ndim > 1 and id(p) not in rules and name not in kept
            scale = float(config.layer_decay ** (highest - ids.get(name, highest)))
            if id(p) in gates:
                scale = config.gate_lr
            muon = config.optimizer == "muon" and decays and id(p) in inside
            members.setdefault((scale, decays, muon), []).append(p)
    return [
        {
            "params": parameters,
            "weight_decay": config.weight_decay if decays else 0.0,
            "lr": config.lr * scale,
            **({"use_muon": muon} if config.optimizer == "muon" else {}),
        }
        for (scale, decays, muon), parameters in members.items()
    ]


def undecayed(net: Network) -> set[str]:
    """Return the names of the parameters that the network excludes from weight decay.

    These are the names in any module's ``no_weight_decay()``, as in timm (relative to the module,
    possibly with wildcards). If no module has that method, they are the class tokens and positions
    that have one of the usual names.
    """
    names = [name for name, _ in net.named_parameters()]
    patterns: list[str] = []
    asked = False
    for path, module in net.named_modules():
        say = getattr(module, "no_weight_decay", None)
        if callable(say):
            asked = True
            patterns += [f"{path}.{name}" if path else name for name in say()]
    if asked:
        plain, wild = set(patterns), [p for p in patterns if re.search(r"[*?\[]", p)]
        return {n for n in names if n in plain or any(fnmatch(n, p) for p in wild)}
    inside = {id(p) for trunk in net.trunks for block in trunk.blocks for p in block.parameters()}
    return {
        name
        for name, p in net.named_parameters()
        if id(p) not in inside and _TOKENS_AND_POSITIONS.search(name)
    }


def layer_ids(net: Network) -> dict[str, int]:
    """Return the layer of each parameter: 0 is the stem, 1..L the blocks, L + 1 the head.

    A host with timm's ``group_matcher`` decides itself. Otherwise parameters before the first block
    belong to the stem and parameters after the last block to the head; a norm directly after the
    blocks belongs to the last block, as in timm's ViT, and parameters between two stages to the
    block that follows.

    Example:
        >>> import autocompress as ac
        >>> ids = layer_ids(ac.models.MLP(depth=2, width=4, image_size=2, channels=1))
        >>> sorted(set(ids.values()))
        [0, 1, 2, 3]
    """
    host: Any = getattr(net, "model", None)
    if hasattr(host, "group_matcher"):
        from timm.models import group_parameters  # installed, since the host comes from timm

        found: dict[str, int] = group_parameters(
            host, host.group_matcher(coarse=False), reverse=True
        )
        top = max(found.values())
        return {
            name: found.get(name.removeprefix("model."), top) for name, _ in net.named_parameters()
        }
    blocks = [block for trunk in net.trunks for block in trunk.blocks]
    order = {id(p): i + 1 for i, block in enumerate(blocks) for p in block.parameters()}
    rules = {id(p) for trunk in net.trunks for p in trunk.connectivity.parameters()}
    norm = {id(p) for p in _norm_after(net, order, rules)}
    ids: dict[str, int] = {}
    above = 0  # the block of the parameters seen last
    for name, p in net.named_parameters():
        if id(p) in order:
            above = ids[name] = order[id(p)]
        elif id(p) in norm:
            ids[name] = len(blocks)
        elif id(p) not in rules:
            ids[name] = above + 1 if above else 0
    return ids


def _norm_after(net: nn.Module, order: dict[int, int], rules: set[int]) -> Iterator[nn.Parameter]:
    """Yield the parameters of the module that directly follows the last block, if it is a norm."""
    last = max(order.values(), default=0)
    seen = False
    for module in net.modules():
        own = [p for p in module.parameters(recurse=False) if id(p) not in rules]
        here = {order.get(id(p), 0) for p in own}
        seen = seen or last in here
        if seen and own and here == {0} and not any(True for _ in module.children()):
            if "Norm" in type(module).__name__:
                yield from own
            return
