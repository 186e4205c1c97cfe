"""Small VGG-like flat network, trained to classify which panorama a flat view is from."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F


def network(width: int) -> nn.Sequential:
    """Return four 3 × 3 convolutions with one pooling in between; the receptive field is 14 × 14 pixels."""
    return nn.Sequential(
        nn.Conv2d(3, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1), nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(width, 2 * width, 3, padding=1), nn.ReLU(), nn.Conv2d(2 * width, 2 * width, 3, padding=1),
    )  # fmt: skip


def train(
    chain: nn.Sequential, views: np.ndarray, labels: np.ndarray, epochs: int, log: Callable[[int, float, float], None]
) -> None:
    """Train the chain with a max-pooling classifier on top; ``log`` gets epoch, loss and accuracy."""
    classes = int(labels.max()) + 1
    classifier = nn.Sequential(chain, nn.ReLU(), nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.LazyLinear(classes))
    x, y = torch.from_numpy(views), torch.from_numpy(labels)
    classifier(x[:1])  # initializes the lazy layer
    optimizer = torch.optim.Adam(classifier.parameters(), 5e-3)
    for epoch in range(1, epochs + 1):
        losses, correct = [], 0
        for chosen in torch.randperm(len(x)).split(36):
            scores = classifier(x[chosen])
            loss = F.cross_entropy(scores, y[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            correct += int((scores.argmax(1) == y[chosen]).sum())
        log(epoch, float(np.mean(losses)), correct / len(x))
    chain.requires_grad_(False).eval()
