"""doubling: the mathematics of the task, its options, and that training sees fresh sequences."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

import autocompress as ac
from autocompress.data.doubling import Doubling, cycles, depth_for, power
from autocompress.errors import ConfigError, UnknownNameError


def load(seed: int = 0, **options: object) -> ac.Splits:
    return ac.load_data(ac.DataConfig(name="doubling", seed=seed, options=options))


def test_powers_by_hand() -> None:
    f = torch.tensor([[3, 0, 1, 4, 2], [1, 2, 3, 4, 0]])
    for k in range(9):
        wanted = []
        for row in f.tolist():
            at = list(range(5))
            for _ in range(k):
                at = [row[i] for i in at]
            wanted.append(at)
        assert power(f, k).tolist() == wanted, k


@pytest.mark.parametrize("n", [3, 7, 17])
def test_every_permutation_is_one_cycle(n: int) -> None:
    for row in cycles(50, n, torch.Generator().manual_seed(n)).tolist():
        seen, at = [], 0
        for _ in range(n):
            seen.append(at)
            at = row[at]
        assert at == 0
        assert sorted(seen) == list(range(n))


def test_tokens_say_f_and_k_and_labels_are_the_power() -> None:
    data = load(positions=17, powers=[1, 8, 3])
    ids, labels = next(data.validation.batches(600))
    k = torch.tensor([1, 8, 3])[(ids - 1) // 17]
    assert (k == k[:, :1]).all()
    assert ids.min() >= 1
    assert ids.max() < data.arguments["vocabulary"] == 52
    for f, powers, wanted in zip((ids - 1) % 17, k, labels, strict=True):
        at = torch.arange(17)
        for _ in range(int(powers[0])):
            at = f[at]
        assert at.tolist() == wanted.tolist()
        assert sorted(wanted.tolist()) == list(range(17))  # labels are balanced
    assert torch.unique(k[:, 0], return_counts=True)[1].tolist() == [200, 200, 200]
    assert [(part.name, part.depth) for part in data.parts] == [
        ("k = 1", 0),
        ("k = 8", 3),
        ("k = 3", 2),
    ]


def test_depth_for_is_what_look_ups_in_a_cycle_need() -> None:
    """Layer by layer on one cycle: look up a known place by what is known there, read what is."""
    n = 31
    f = cycles(1, n, torch.Generator().manual_seed(0))[0].tolist()
    known = {tuple(range(n)), tuple(f)}  # of each position: itself, and its token
    needed: dict[int, int] = {}
    for layers in range(4):
        for k in range(1, n // 2 + 1):  # beyond, going n - k steps back is a shortcut
            if tuple(power(torch.tensor([f]), k)[0].tolist()) in known:
                needed.setdefault(k, layers)
        places = {key: {value: j for j, value in enumerate(key)} for key in known}
        known |= {
            tuple(read[places[key][at]] for at in query)
            for query in known
            for key in known
            for read in known
        }
    assert needed == {k: depth_for(k) for k in needed}
    assert [needed[k] for k in (1, 2, 4, 5, 8, 14)] == [0, 1, 2, 2, 3, 3]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"positions": 12}, "e.g. 13"),
        ({"positions": 7}, "prime number from 9 to 4096, e.g. 11"),
        ({"positions": 11, "powers": [1, 2, 6]}, "shortcut"),
        ({"positions": 1, "powers": [1]}, "e.g. 3"),
        ({"powers": []}, "powers"),
        ({"powers": [2, 2]}, "different"),
        ({"powers": [0, 1]}, "from 1 on"),
        ({"examples": 2}, "examples 2"),
        ({"positions": "11"}, "whole number"),
        ({"positions": True}, "whole number"),
        ({"powers": [1, 2.5]}, "whole number"),
    ],
)
def test_options_that_make_no_task_are_refused(options: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load(**options)


def test_unknown_options_and_options_of_other_sets_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'positions'"):
        load(position=11)
    for option in ({"train_limit": 5}, {"classes": (0, 1)}, {"validation": 0.5}, {"length": 8}):
        task = "masked-lm" if "length" in option else "image"
        with pytest.raises(ConfigError, match="not for 'doubling'"):
            ac.load_data(ac.DataConfig(name="doubling", task=task, **option))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"data.positions is an option of generated"):
        ac.load_data(ac.DataConfig(name="digits", options={"positions": 11}))


def test_each_epoch_is_fresh_and_the_fixed_sets_are_fixed() -> None:
    data, order = load(examples=60), torch.arange(60)
    passes = []
    for seed in (0, 1, 0):
        torch.manual_seed(seed)
        passes.append(torch.cat([ids for ids, _ in data.train.batches(16, order)]))
    assert (passes[0] == passes[2]).all()
    assert not (passes[0] == passes[1]).all()
    torch.manual_seed(0)
    other = next(load(seed=1, examples=60).train.batches(60, order))[0]
    assert not (other == passes[0]).all()  # data.seed counts, too
    for split in ("validation", "test"):
        first, second = (getattr(load(seed=s), split).drawn.ids for s in (0, 9))
        assert (first == second).all()
    assert not (data.validation.drawn.ids[:100] == data.test.drawn.ids[:100]).all()
    before = torch.get_rng_state()
    natural = [next(data.train.batches(60))[0] for _ in range(2)]
    assert (natural[0] == natural[1]).all()
    assert (torch.get_rng_state() == before).all()


def test_batches_do_not_depend_on_their_size_and_follow_the_order() -> None:
    data, order = load(examples=30), torch.arange(30).flip(0)
    found = []
    for size in (7, 30):
        torch.manual_seed(3)
        found.append(torch.cat([ids for ids, _ in data.train.batches(size, order)]))
    torch.manual_seed(3)
    straight = torch.cat([ids for ids, _ in data.train.batches(30, torch.arange(30))])
    assert (found[0] == found[1]).all()
    assert (found[0] == straight.flip(0)).all()


def test_another_process_draws_the_same() -> None:
    code = (
        "import torch, autocompress as ac\n"
        "data = ac.load_data(ac.DataConfig(name='doubling', options={'examples': 20}))\n"
        "torch.manual_seed(5)\n"
        "ids, _ = next(data.train.batches(20, torch.arange(20)))\n"
        "print(int((ids * torch.arange(1, 12)).sum()), int(data.test.drawn.ids.sum()))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    data = load(examples=20)
    torch.manual_seed(5)
    ids, _ = next(data.train.batches(20, torch.arange(20)))
    mine = f"{int((ids * torch.arange(1, 12)).sum())} {int(data.test.drawn.ids.sum())}"
    assert said.stdout.strip() == mine


def test_few_cycles_are_said() -> None:
    assert "only 24 cycles" in load(positions=5, powers=[1, 2]).description["remarks"][0]
    assert load().description["remarks"] == []


def test_a_resumed_run_is_the_run_that_was_never_stopped(tmp_path: object) -> None:
    data = load(positions=5, powers=[1, 2], examples=64)
    config = ac.FitConfig(epochs=3, batch_size=16, warmup_epochs=0)

    def network() -> ac.Network:
        torch.manual_seed(0)
        return ac.models.Encoder(depth=2, width=8, heads=1, **data.arguments)

    whole = network()
    ac.fit(whole, data.train, data.validation, config, progress=False)

    class Stop(ac.training.Hook):
        def after_epoch(self, net: ac.Network, epoch: int, epochs: int) -> None:
            if epoch == 3:
                raise KeyboardInterrupt

    class Quiet(Stop):
        def after_epoch(self, net: ac.Network, epoch: int, epochs: int) -> None:
            """Go on."""

    Quiet.__name__ = "Stop"
    net = network()
    with pytest.raises(ac.errors.InterruptedRunError):
        ac.fit(
            net, data.train, data.validation, config, hooks=[Stop()], run=tmp_path, progress=False
        )
    net = network()
    ac.fit(
        net,
        data.train,
        data.validation,
        config,
        hooks=[Quiet()],
        run=tmp_path,
        resume=True,
        progress=False,
    )
    for mine, theirs in zip(net.parameters(), whole.parameters(), strict=True):
        assert (mine == theirs).all()


def test_option_classes_stand_alone() -> None:
    assert Doubling(positions=37, powers=(16,)).positions == 37
