"""The decoder, its cache, and drafts of its own first layers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import autocompress as ac
from autocompress.errors import ConfigError, DataError, DepthError, ShapeError
from models_table import CONNECTIVITIES, depths_of, every_connectivity
from toy import silence, tokens_seen

DEPTH, WIDTH, VOCABULARY, LENGTH = 4, 8, 11, 24


def decoder(connectivity: str = "acn", seed: int = 0, **options: object) -> ac.models.Decoder:
    """Small, of random weights, in double precision, so that ties are no matter of rounding."""
    torch.manual_seed(seed)
    rule = CONNECTIVITIES[connectivity]
    arguments = {"depth": DEPTH, "width": WIDTH, "vocabulary": VOCABULARY, "length": LENGTH}
    net = ac.models.Decoder(**{**arguments, "heads": 2, "connectivity": rule, **options})  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return net.double().eval()


def prompt(tokens: int = 5, batch: int = 1, seed: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(VOCABULARY, (batch, tokens), generator=generator)


def by_hand(net: ac.Network, ids: torch.Tensor, new: int) -> torch.Tensor:
    """Greedy decoding without a cache: the whole text, again for every token."""
    for _ in range(new):
        ids = torch.cat([ids, net(ids)[:, -1:].argmax(-1)], dim=1)
    return ids


@every_connectivity
def test_a_token_does_not_see_those_after_it(connectivity: str) -> None:
    net, ids = decoder(connectivity), prompt(8)
    changed = ids.clone()
    changed[:, 5:] = (changed[:, 5:] + 1) % VOCABULARY
    torch.testing.assert_close(net(ids)[:, :5], net(changed)[:, :5])
    assert not torch.allclose(net(ids)[:, 5], net(changed)[:, 5])


@every_connectivity
def test_cut_equals_readout(connectivity: str) -> None:
    net, ids = decoder(connectivity), prompt(8, batch=3)
    for depth, readout in depths_of(net, ids):
        assert torch.equal(ac.cut(net, depth)(ids), readout)


@every_connectivity
def test_the_cache_changes_nothing(connectivity: str) -> None:
    net, ids = decoder(connectivity), prompt(batch=3)
    assert torch.equal(ac.generate(net, ids, 12).ids, by_hand(net, ids, 12))


@every_connectivity
@pytest.mark.parametrize("draft_depth", range(DEPTH))
def test_drafts_change_nothing(connectivity: str, draft_depth: int) -> None:
    net, ids = decoder(connectivity), prompt()
    found = ac.generate(net, ids, 15, draft_depth=draft_depth, draft_length=3)
    assert torch.equal(found.ids, by_hand(net, ids, 15))
    assert 0 <= found.accepted <= found.drafted


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 99),
    tokens=st.integers(1, 9),
    new=st.integers(1, 15),
    draft_depth=st.integers(0, DEPTH - 1),
    draft_length=st.integers(1, 20),
    draft_confidence=st.sampled_from([0.0, 0.2, 0.6, 1.0]),
    stop=st.none() | st.integers(0, VOCABULARY - 1),
)
def test_any_draft_of_any_length(
    seed: int, tokens: int, new: int, stop: int | None, **options: Any
) -> None:
    net, ids = decoder("acn", seed), prompt(tokens, seed=seed)
    wanted = by_hand(net, ids, new)[0].tolist()
    if stop in wanted[tokens:]:
        wanted = wanted[: wanted.index(stop, tokens) + 1]
    assert ac.generate(net, ids, new, stop=stop).ids[0].tolist() == wanted
    assert ac.generate(net, ids, new, stop=stop, **options).ids[0].tolist() == wanted


@pytest.mark.parametrize(("confidence", "lengths"), [(1.0, [1] * 14), (0.0, [4, 4, 4, 2])])
def test_drafting_ends_where_it_is_unsure(confidence: float, lengths: list[int]) -> None:
    """At 1 every draft is one token long; at 0, as long as it may be. All drafts are right here."""
    net = decoder()
    with torch.no_grad():
        for parameter in net.trunk.blocks[-1].parameters():
            parameter.zero_()
    read: list[int] = []
    net.trunk.blocks[-1].register_forward_pre_hook(lambda _, x: read.append(x[0].shape[1]))
    options = {"draft_depth": 3, "draft_length": 4, "draft_confidence": confidence}
    found = ac.generate(net, prompt(5), 15, **options)
    assert read == [5, *lengths]
    assert found.accepted == found.drafted == 14


def test_in_a_batch_the_ended_wait_for_the_others() -> None:
    net, ids = decoder(), prompt(batch=4)
    wanted = by_hand(net, ids, 12).tolist()
    stop = wanted[0][7]
    found = ac.generate(net, ids, 12, stop=stop).ids.tolist()
    for mine, text in zip(found, wanted, strict=True):
        end = text.index(stop, 5) + 1 if stop in text[5:] else len(text)
        assert mine[:end] == text[: len(mine)][:end]
        assert set(mine[end:]) <= {stop}


def test_no_block_sees_a_token_twice_unless_its_draft_was_wrong() -> None:
    """Layers above that add nothing: every draft is right, and each block runs once per token."""
    net = decoder("acn")
    silence(net, 2)
    seen = tokens_seen(net)
    found = ac.generate(net, prompt(5), 13, draft_depth=2, draft_length=4)
    assert found.accepted == found.drafted == 12
    assert seen == [5 + 12] * DEPTH


def test_a_decoder_learns_and_is_cut(tmp_path) -> None:  # type: ignore[no-untyped-def]
    """The next token of a repeated sequence; loss and score of every depth by token."""
    ids = (torch.arange(9)[None, :] + torch.arange(64)[:, None]) % VOCABULARY
    data = torch.utils.data.TensorDataset(ids[:, :-1], ids[:, 1:])
    torch.manual_seed(0)
    net = ac.models.Decoder(
        depth=3, width=32, vocabulary=VOCABULARY, length=LENGTH, heads=2, connectivity="acn"
    )
    config = ac.FitConfig(epochs=20, batch_size=16, lr=1e-2, warmup_epochs=1, label_smoothing=0.0)
    run = ac.fit(net, data, data, config, progress=False)
    assert run.history[-1]["depths"][3] > 0.99
    curve = ac.probe(net, data)
    assert curve.hits.shape == (64 * 8, 4)
    assert curve.flops[0] < curve.flops[3]
    ac.save(net, tmp_path / "net")
    again = ac.load(tmp_path / "net")
    assert torch.equal(again(ids), net(ids))
    assert ac.generate(net, torch.tensor([[0, 1, 2]]), 5).ids.tolist() == [list(range(8))]


def test_wrong_input() -> None:
    net = decoder()
    with pytest.raises(ShapeError, match="24 places"):
        ac.generate(net, prompt(20), 5)
    with pytest.raises(ShapeError, match="one prompt, not 2: generate them one by one"):
        ac.generate(net, prompt(batch=2), 5, draft_depth=1)
    with pytest.raises(ShapeError, match="all 4 blocks: expected a draft_depth of 0 to 3"):
        ac.generate(net, prompt(), 5, draft_depth=4)
    with pytest.raises(DepthError):
        ac.generate(net, prompt(), 5, draft_depth=9)
    with pytest.raises(ConfigError, match="new 0"):
        ac.generate(net, prompt(), 0)
    with pytest.raises(ConfigError, match=r"draft_confidence 1\.5 must be a share"):
        ac.generate(net, prompt(), 5, draft_depth=1, draft_confidence=1.5)
    with pytest.raises(ShapeError, match="integers"):
        net(torch.zeros(2, 3))
    for ids in (torch.zeros(1, 3), torch.zeros(3, dtype=torch.long), prompt(0)):
        with pytest.raises(ShapeError, match="expected integers"):
            ac.generate(net, ids, 5)
    with pytest.raises(
        DataError, match=r"tokens run from 0 to 11; the vocabulary of this network is 0\.\.10"
    ):
        ac.generate(net, torch.tensor([[0, 11]]), 5)
    with pytest.raises(ShapeError, match=r"1\.\.24"):
        net(prompt(25))
