"""Trainers of other libraries, and other processes: the weights are those of plain's training."""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import autocompress as ac
from hosts import batch, host
from spawned import likelihood, outputs

pytestmark = pytest.mark.filterwarnings("ignore")


def hosts() -> tuple[nn.Module, Any]:
    """A plain network, and the converted one that computes the same."""
    plain = host("timm-vit")
    for module in plain.modules():  # drawn numbers would have to be drawn in the same order
        if hasattr(module, "drop_prob"):
            module.drop_prob = 0.0  # type: ignore[assignment]
    return plain, ac.convert(plain, "residual")


def examples() -> TensorDataset:
    torch.manual_seed(5)
    return TensorDataset(torch.randn(12, 3, 16, 16), torch.arange(12) % 5)


def check_equal(net: Any, plain: nn.Module, before: nn.Module) -> None:
    ours = dict(net.model.named_parameters())
    theirs = dict(plain.named_parameters())
    first = dict(before.named_parameters())
    assert ours.keys() == theirs.keys()
    assert any(not torch.equal(ours[key], first[key]) for key in ours)
    for key, value in ours.items():
        torch.testing.assert_close(value, theirs[key], msg=key)


def lightning_fit(model: nn.Module, **options: Any) -> None:
    import lightning

    from spawned import Task

    quiet: dict[str, Any] = dict.fromkeys(
        ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False
    )
    trainer = lightning.Trainer(max_epochs=1, accelerator="cpu", **quiet, **options)
    trainer.fit(Task(model), DataLoader(examples(), 4))


def test_lightning() -> None:
    pytest.importorskip("lightning", reason="lightning is not installed (extra: clients)")
    plain, net = hosts()
    before = copy.deepcopy(plain)
    for model in (plain, net):
        lightning_fit(model.train())
    check_equal(net, plain, before)
    assert all(map(torch.isfinite, ac.probe(net, examples()).losses and [torch.tensor(1.0)]))


@pytest.fixture
def new_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What conftest does for torchvision, in every process that starts during the test."""
    tests = Path(__file__).parents[1]
    customs = f"import sys\nsys.path.insert(0, {str(tests)!r})\nimport conftest\n"
    (tmp_path / "sitecustomize.py").write_text(customs)
    paths = [str(tmp_path), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))


@pytest.mark.slow
@pytest.mark.usefixtures("new_processes")
def test_lightning_spawns_processes() -> None:
    """With gloo; every process gets the network by pickle, and its weights come back."""
    pytest.importorskip("lightning", reason="lightning is not installed (extra: clients)")
    plain, net = hosts()
    before = copy.deepcopy(plain)
    for model in (plain, net):
        lightning_fit(model.train(), strategy="ddp_spawn", devices=2)
    check_equal(net, plain, before)


def test_skorch(tmp_path: Path) -> None:
    skorch = pytest.importorskip("skorch", reason="skorch is not installed (extra: clients)")
    from sklearn.model_selection import GridSearchCV

    plain, net = hosts()
    before = copy.deepcopy(plain)
    x, y = (tensor.numpy() for tensor in examples().tensors)
    fitted = []
    for model in (plain, net):
        torch.manual_seed(0)
        classifier = skorch.NeuralNetClassifier(
            model,
            criterion=nn.CrossEntropyLoss,
            optimizer=torch.optim.SGD,
            lr=0.1,
            max_epochs=2,
            batch_size=4,
            train_split=None,
            iterator_train__shuffle=False,
            verbose=0,
        )
        fitted.append(classifier.fit(x, y))
    one, other = fitted
    check_equal(other.module_, one.module_, before)
    np.testing.assert_allclose(other.predict_proba(x), one.predict_proba(x), atol=1e-6)
    other.save_params(f_params=tmp_path / "weights.pt")
    again = copy.deepcopy(other)
    again.initialize()
    again.load_params(f_params=tmp_path / "weights.pt")
    np.testing.assert_array_equal(again.predict_proba(x), other.predict_proba(x))
    searched = [
        GridSearchCV(each, {"lr": [0.01, 0.1]}, cv=2, scoring="neg_log_loss", n_jobs=1).fit(x, y)
        for each in fitted
    ]
    np.testing.assert_allclose(
        *(found.cv_results_["mean_test_score"] for found in searched), rtol=1e-5
    )


@pytest.mark.slow
@pytest.mark.usefixtures("new_processes")
def test_skorch_searches_in_two_processes() -> None:
    """The scores are those of plain in this process.

    Most of the time goes into what each new process imports (torch, scikit-learn and, for the
    first optimizer, torch's compiler): on busy cores that took a minute and a half, for plain too.
    """
    skorch = pytest.importorskip("skorch", reason="skorch is not installed (extra: clients)")
    from sklearn.model_selection import GridSearchCV, KFold

    x, y = (tensor.numpy() for tensor in examples().tensors)
    scores = []
    for model, processes in zip(hosts(), (1, 2), strict=True):
        classifier = skorch.NeuralNetClassifier(
            model,
            criterion=nn.CrossEntropyLoss,
            max_epochs=2,
            batch_size=4,
            train_split=None,
            iterator_train__shuffle=False,
            verbose=0,
        )
        search = GridSearchCV(
            classifier, {"lr": [0.02, 0.3]}, cv=KFold(2), scoring=likelihood, n_jobs=processes
        )
        scores.append(search.fit(x, y).cv_results_["mean_test_score"])
    assert scores[0][0] != scores[0][1]
    np.testing.assert_allclose(scores[1], scores[0], rtol=1e-5)


@pytest.mark.slow
def test_joblib_in_two_processes() -> None:
    joblib = pytest.importorskip("joblib", reason="joblib is not installed (extra: clients)")
    nets = [ac.convert(host("timm-vit"), "acn"), ac.convert(host("hf-bert"), "acn")]
    rows = [batch(host("timm-vit"))["x"], batch(host("hf-bert"))]
    found = joblib.Parallel(n_jobs=2)(
        joblib.delayed(outputs)(net, x) for net, x in zip(nets, rows, strict=True)
    )
    for out, net, x in zip(found, nets, rows, strict=True):
        torch.testing.assert_close(out, outputs(net, x))
