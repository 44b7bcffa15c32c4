"""What the arms of the claim ``pruning`` have in common, and what they do not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import autocompress as ac
from autocompress.io.bits import pack_bits
from autocompress.network import Network
from autocompress.pipeline import load_network
from autocompress_studies import Results, Work, find_study
from autocompress_studies.studies import pruning
from autocompress_studies.studies.pruning import Key

CLAIM = find_study("pruning")
SETTINGS = CLAIM.settings("smoke")
NAMES = {arm.key: arm.after for arm in CLAIM.arms(SETTINGS)}
TOLD = ("test", "hits", "by_epoch", "epochs", "rate", "left", "sparsity", "selected")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[Key, dict[str, Any]]]:
    """The study's folder, and the scores of what the ACNs have before weights go."""
    folder, scores = tmp_path_factory.mktemp("study"), {}
    for arm in (("encoder", "words"), ("encoder", "dense"), ("Mixer", "dense")):
        key = Key(arm[0], "ACN", arm[1])
        scores[key] = CLAIM.run(SETTINGS, key, Work(0, folder, key, before=scores))
    return folder, scores


def run(done: tuple[Path, dict[Key, dict[str, Any]]], key: Key) -> dict[str, Any]:
    folder, scores = done
    before = {name: scores[name] for name in NAMES.get(key, scores)}
    found: dict[str, Any] = CLAIM.run(SETTINGS, key, Work(0, folder, key, before=before))
    return found


@pytest.mark.parametrize("family", ["encoder", "Mixer"])
def test_taking_nothing_is_the_network_that_the_loss_is_counted_from(
    family: str, done: tuple[Path, dict[Key, dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So both begin with the same weights, see the same batches, and as often, at the same rate."""
    monkeypatch.setitem(pruning.WHILE, "nothing", ac.PruneConfig(share=0.0))
    nothing = run(done, Key(family, "ACN", "nothing"))
    keeps = Key(family, "ACN", pruning.KEEPS[family])
    kept = done[1].get(keeps) or run(done, keeps)
    assert {key: nothing[key] for key in TOLD} == {key: kept[key] for key in TOLD}


def test_an_encoder_loses_weights_from_the_pretrained_network_on(
    done: tuple[Path, dict[Key, dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three epochs, so two removals: 1 - 0.8 ** 2 and 1 - 0.6 ** 2 of the weights are gone."""
    seen: list[dict[str, torch.Tensor]] = []

    def fitted(work: Work, config: Any, data: Any, *, start: Network) -> Any:
        seen.append({name: w.clone() for name, w in start.state_dict().items()})
        return real(work, config, data, start=start)

    real = Work.fitted
    monkeypatch.setattr(Work, "fitted", fitted)
    found = {kind: run(done, Key("encoder", "ACN", kind)) for kind in pruning.WHILE}
    gone = {"movement 20 %": 0.36, "movement 40 %": 0.64, "last batch 20 %": 0.36}
    for kind, share in gone.items():
        assert found[kind]["sparsity"] == pytest.approx(share, abs=1e-3)
        assert found[kind]["epochs"] == done[1][Key("encoder", "ACN", "dense")]["epochs"] == 3
    key = Key("encoder", "ACN", "words")
    home = Work(0, done[0], key).home(key)
    words = load_network(home).state_dict()
    assert len(seen) == len(found), "each began a training here"
    for start in seen:
        body = [name for name in start if not name.startswith("head.")]
        assert any(name.startswith("trunk.") for name in body)
        assert all(torch.equal(start[name], words[name]) for name in body)


def test_arms_come_after_what_they_begin_with() -> None:
    assert len(NAMES) == 2 * (5 + 5)
    for net in ("ACN", "residual"):
        words, dense = Key("encoder", net, "words"), Key("encoder", net, "dense")
        assert NAMES[words] == ()
        assert NAMES[Key("encoder", net, "movement 40 %")] == (words, dense)
        assert NAMES[Key("Mixer", net, "movement 40 %")] == (Key("Mixer", net, "dense"),)


def test_what_pruning_takes_by_hand() -> None:
    """Of four examples the ACN loses one and finds one, the residual network loses two."""

    def hits(*rows: list[int]) -> list[torch.Tensor]:
        return [torch.tensor(row, dtype=torch.bool) for row in rows]

    before = {"ACN": hits([1, 1, 0, 0]), "residual": hits([1, 1, 1, 0])}
    after = {"ACN": hits([1, 0, 1, 0]), "residual": hits([1, 0, 0, 0])}
    better, loses = pruning.compared("x", before, after, of_paper=True)
    assert (better.estimate.value, loses.estimate.value) == (0.25, 0.5)
    assert not better.of_paper
    runs = [{"hits": {"full": pack_bits(b)}, "magnitude": {"0.5": {"full": pack_bits(a)}}}
            for b, a in zip(before["ACN"], after["ACN"], strict=True)]  # fmt: skip
    assert torch.equal(pruning.hits_of(runs)[0], before["ACN"][0])
    assert torch.equal(pruning.hits_of(runs, 0.5)[0], after["ACN"][0])


def test_a_mixer_is_held_against_one_that_trained_on() -> None:
    """It gets better by training on, and what weights take is counted from there."""
    none, half, all_ = ([float(i < n) for i in range(4)] for n in (0, 2, 4))

    def scores(right: list[float]) -> dict[str, Any]:
        packed = {"full": pack_bits(torch.tensor(right).bool())}
        return {"hits": packed, "sparsity": 0.5, "magnitude": {"0.5": packed, "0.9": packed}}

    of = {"dense": none, "trained on": all_}
    made = {
        (key, seed): scores(of.get(key.kind, half))
        for key in NAMES
        for seed in (0, 1)
        if not (key.net == "residual" and key.kind != "trained on" and key.family == "Mixer")
    }
    for kind in ("dense", *pruning.WHILE):  # the residual Mixer loses nothing by losing weights
        for seed in (0, 1):
            made[Key("Mixer", "residual", kind), seed] = scores(none if kind == "dense" else all_)
    found = {f.statement: f.value for f in CLAIM.findings(SETTINGS, Results([0, 1], made))}
    lost = [v for s, v in found.items() if s.startswith("Mixer, mov") and "loses" in s]
    assert lost == [-50.0, -50.0]
