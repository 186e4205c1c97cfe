"""A small flat network in the manner of VGG, taught to tell of which panorama a flat view is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F


def network(width: int) -> nn.Sequential:
    """Four convolutions of 3 × 3 with one pooling between: an output sees 14 × 14 pixels."""
    return nn.Sequential(
        nn.Conv2d(3, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1), nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(width, 2 * width, 3, padding=1), nn.ReLU(), nn.Conv2d(2 * width, 2 * width, 3, padding=1),
    )  # fmt: skip


def teach(
    chain: nn.Sequential, views: np.ndarray, labels: np.ndarray, epochs: int, say: Callable[[int, float, float], None]
) -> None:
    """Train the chain below a classifier of its largest outputs; ``say`` gets epoch, loss, share of right answers."""
    classes = int(labels.max()) + 1
    whole = nn.Sequential(chain, nn.ReLU(), nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.LazyLinear(classes))
    x, y = torch.from_numpy(views), torch.from_numpy(labels)
    whole(x[:1])
    optimizer = torch.optim.Adam(whole.parameters(), 5e-3)
    for epoch in range(1, epochs + 1):
        losses, right = [], 0
        for chosen in torch.randperm(len(x)).split(36):
            scores = whole(x[chosen])
            loss = F.cross_entropy(scores, y[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            right += int((scores.argmax(1) == y[chosen]).sum())
        say(epoch, float(np.mean(losses)), right / len(x))
    chain.requires_grad_(False).eval()
