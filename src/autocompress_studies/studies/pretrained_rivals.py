"""The rival of the study ``pretrained`` that another library trains: AdaptiveLayerLoss."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset

from autocompress.extras import import_extra
from autocompress.training import FitConfig

__all__ = ["adaptive_layer_loss"]


class _Labels(nn.Module):
    """A loss on labels: cross-entropy of a linear layer on the embedding of a sentence.

    The library's own loss on labels, SoftmaxLoss, takes pairs of sentences.

    Args:
        model: The sentence-transformers model.
        classes: Number of classes.
    """

    def __init__(self, model: Any, classes: int) -> None:
        super().__init__()
        self.model = model
        self.linear = nn.Linear(model.get_embedding_dimension(), classes)

    def forward(self, features: Sequence[dict[str, Tensor]], labels: Tensor) -> Tensor:
        (sentence,) = features
        return F.cross_entropy(self.linear(self.model(sentence)["sentence_embedding"]), labels)


def adaptive_layer_loss(
    folder: Path, sets: dict[str, Dataset[Any]], config: FitConfig
) -> dict[str, list[float]]:
    """Train an encoder with sentence-transformers' AdaptiveLayerLoss and score all its depths.

    In every step, the last layer and one earlier one, drawn at random, learn the labels, and the
    earlier one learns the last one's embedding (2D Matryoshka, arXiv 2402.14776), with the
    library's own weights. A sentence is read as the mean of its tokens.

    Args:
        folder: Folder of the encoder and its tokenizer.
        sets: Tokenised sentences and labels: ``train``, ``validation`` and ``test``.
        config: Epochs, batch size, learning rate, warm-up, weight decay and seed.

    Returns:
        Accuracy by depth, from the embeddings on, on ``validation`` and ``test``.

    Raises:
        MissingExtraError: sentence-transformers is not installed.
    """
    random.seed(config.seed)  # the loss draws layers with it
    package, purpose = "sentence_transformers", "the row AdaptiveLayerLoss of the study pretrained"
    library: Any = import_extra(package, "clients", purpose)
    losses: Any = import_extra(f"{package}.losses", "clients", purpose)
    model = library.SentenceTransformer(str(folder), device="cpu")
    labels = _Labels(model, 2)
    loss = losses.AdaptiveLayerLoss(model, labels)
    loader = torch.utils.data.DataLoader(
        sets["train"], config.batch_size, shuffle=True, drop_last=True
    )
    steps, warmup = config.epochs * len(loader), config.warmup * len(loader)
    optimizer = torch.optim.AdamW(loss.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warmup, (steps - step) / (steps - warmup))
    )
    model.train()
    for _ in range(config.epochs):
        for sentences, truth in loader:
            optimizer.zero_grad()
            loss([sentences], truth).backward()
            optimizer.step()
            schedule.step()
    return {name: _scores(model, labels.linear, sets[name]) for name in ("validation", "test")}


@torch.no_grad()
def _scores(model: Any, linear: nn.Linear, data: Dataset[Any]) -> list[float]:
    """Return the accuracy at every depth: a depth's tokens are pooled like those of the last."""
    model.eval()
    hits: list[Tensor] = []
    for sentences, truth in torch.utils.data.DataLoader(data, 256):
        states = model[0].auto_model(**sentences, output_hidden_states=True).hidden_states
        read = [
            linear(_pooled(model, state, sentences["attention_mask"])).argmax(-1) == truth
            for state in states
        ]
        hits.append(torch.stack(read, 1))
    return [float(score) for score in torch.cat(hits).double().mean(0)]


def _pooled(model: Any, tokens: Tensor, mask: Tensor) -> Tensor:
    features = {"token_embeddings": tokens, "attention_mask": mask}
    for module in list(model)[1:]:
        features = module(features)
    pooled: Tensor = features["sentence_embedding"]
    return pooled
