"""FSDP2: every depth of a network whose weights lie in pieces on two processes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import autocompress as ac
import launched

SCRIPT = """
import conftest  # lets torchvision import, as in this process
from hosts import batch, host
import torch.distributed as dist
from autocompress.errors import ConfigError
if WORLD > 1: dist.init_process_group("gloo")

def made(name):
    torch.manual_seed(0)
    if name == "ours":
        shape = {"image_size": 8, "channels": 3, "patch_size": 4}
        return ac.models.Mixer(depth=3, width=8, classes=5, **shape).eval()
    return ac.convert(host(name), "acn")

def sharded(net):
    if WORLD > 1:
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard
        mesh = init_device_mesh("cpu", (WORLD,))
        for trunk in net.trunks:
            for block in trunk.blocks:
                fully_shard(block, mesh=mesh)
        fully_shard(net, mesh=mesh)
    return net

said, refused = {}, []
for name in ("hf-bert", "timm-swin", "ours"):
    net = sharded(made(name))
    optimizer = torch.optim.SGD(net.parameters(), 0.1)  # of the pieces, before any pass
    inputs = batch(host(name), 4) if name != "ours" else {"x": torch.randn(4, 3, 8, 8)}
    x = inputs["x"] if "x" in inputs else inputs
    rows = [({k: v[i] for k, v in inputs.items()} | {"labels": i}) for i in range(4)]
    if "x" in inputs:
        rows = [(x[i], i) for i in range(4)]
    found = said[name] = {}
    with torch.no_grad():
        found["readouts"] = [r.tolist() for r in net.readouts(x)]  # before any call of it
        found["depth 2"] = net(x, depth=2).tolist()
        found["cut"] = ac.cut(net, 2)(x).tolist()
    found["probe"] = ac.probe(net, rows, batch_size=3).losses
    for _ in range(2):
        torch.nn.functional.cross_entropy(net(x), torch.arange(4)).backward()
        optimizer.step()
        optimizer.zero_grad()
    with torch.no_grad():
        found["trained"] = [r.tolist() for r in net.readouts(x)]
    try:
        if WORLD > 1: ac.save(net, OUT / f"{name}-{RANK}")
    except ConfigError as error:
        refused.append(str(error))
    try:
        if WORLD > 1: list(net.readouts(x))  # whose gradients would be wrong
    except ConfigError as error:
        assert "read without gradients" in str(error)
    else:
        assert WORLD == 1
    whole = ac.cut(net, net.depth)
    if RANK == 0:
        ac.save(whole, OUT / f"{name}-{WORLD}")
    said[name]["kind"] = type(next(whole.parameters()).data).__name__
say(said=said, refused=refused)
"""


@pytest.mark.slow
def test_depths_of_a_network_in_pieces_are_those_of_the_whole(tmp_path: Path) -> None:
    two = launched.run(SCRIPT, tmp_path, 2)
    (one,) = launched.run(SCRIPT, tmp_path, 1)
    for name, expected in one["said"].items():
        for process in two:
            for key, value in expected.items():
                found = process["said"][name][key]
                if key == "kind":
                    assert found == value == "Tensor"
                else:
                    torch.testing.assert_close(
                        *(torch.tensor(v) for v in (found, value)), atol=1e-5, rtol=1e-5
                    )
        plain, sharded = (ac.load(tmp_path / f"{name}-{world}") for world in (1, 2))
        for (key, a), b in zip(
            plain.state_dict().items(), sharded.state_dict().values(), strict=True
        ):
            torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5, msg=key)
    for process in two:
        assert len(process["refused"]) == 3
        assert all("cut it at its full depth" in said for said in process["refused"])
