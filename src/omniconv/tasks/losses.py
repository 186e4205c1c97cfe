"""Losses of predicted labels, weighted by the area of the samples on a sphere.

Every loss is a function of logits ``(batch, classes, ...)`` and labels ``(batch, ...)``, and leaves ignored samples
out. ``LabelLoss`` is a sum of some of them, by their names in ``LOSSES``. Logits are converted to float32, also under
mixed precision. In a training in several processes every loss is that of the whole batch, see ``nn.distributed``: sums
over samples pass through ``batch_sum`` before they are divided by each other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omniconv.checks import check_number, did_you_mean
from omniconv.errors import InputError
from omniconv.nn.distributed import all_rows, batch_sum

NO_INDEX = -100
"""Ignored label of ``torch.nn.functional.cross_entropy`` by default; no class has it."""
FOCUS = 2.0
"""Exponent of the focal loss (Lin et al., ICCV 2017)."""
FALSE_POSITIVES, FALSE_NEGATIVES = 0.3, 0.7
"""Weights of the Tversky loss (Salehi et al., MLMI 2017): missing a small object counts more than enlarging it."""


def cross_entropy(
    logits: Tensor,
    labels: Tensor,
    areas: Tensor | None = None,
    class_weights: Tensor | None = None,
    ignore_index: int = NO_INDEX,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Return the weighted mean cross entropy over the samples that are not ignored; 0 if all are.

    Without areas this is ``torch.nn.functional.cross_entropy``.

    Args:
        logits: ``(batch, classes, ...)``.
        labels: ``(batch, ...)``.
        areas: weight of each sample, broadcast to the shape of ``labels``.
        class_weights: weight of each class, ``(classes,)``.
        ignore_index: label of samples that are ignored.
        label_smoothing: share of the target that is spread over all classes (Szegedy et al., CVPR 2016).
    """
    weights = _weights(logits, labels, areas, ignore_index)
    known = labels.where(labels != ignore_index, 0)
    by_label = weights if class_weights is None else weights * class_weights[known]
    losses = F.cross_entropy(logits.float(), known, reduction="none") * by_label
    if label_smoothing:
        all_classes = -F.log_softmax(logits.float(), 1)
        if class_weights is not None:
            all_classes = all_classes * class_weights.view(-1, *[1] * (logits.ndim - 2))
        losses = (1 - label_smoothing) * losses + label_smoothing * all_classes.mean(1) * weights
    return batch_sum(losses.sum()) / _positive(batch_sum(by_label.sum()))


def focal_loss(
    logits: Tensor,
    labels: Tensor,
    areas: Tensor | None = None,
    class_weights: Tensor | None = None,
    ignore_index: int = NO_INDEX,
    exponent: float = FOCUS,
) -> Tensor:
    """Return the weighted mean of ``-(1 - p)**exponent · log p``, p the probability of the true class.

    Samples that are predicted well count less (Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017).

    Args:
        logits: ``(batch, classes, ...)``.
        labels: ``(batch, ...)``.
        areas: weight of each sample, broadcast to the shape of ``labels``.
        class_weights: weight of each class, ``(classes,)``.
        ignore_index: label of samples that are ignored.
        exponent: γ; 0 is the cross entropy.
    """
    weights, known = _weights(logits, labels, areas, ignore_index), labels.where(labels != ignore_index, 0)
    log_probability = -F.cross_entropy(logits.float(), known, reduction="none")
    if class_weights is not None:
        weights = weights * class_weights[known]
    # 1 - exp(log p), exact where p is near 1
    losses = -torch.expm1(log_probability).neg().pow(exponent) * log_probability
    return batch_sum((losses * weights).sum()) / _positive(batch_sum(weights.sum()))


def binary_cross_entropy(
    logits: Tensor,
    labels: Tensor,
    areas: Tensor | None = None,
    class_weights: Tensor | None = None,
    ignore_index: int = NO_INDEX,
) -> Tensor:
    """Return the weighted mean binary cross entropy of every class against all others.

    Args:
        logits: ``(batch, classes, ...)``.
        labels: ``(batch, ...)``.
        areas: weight of each sample, broadcast to the shape of ``labels``.
        class_weights: weight of each class in the mean over classes, ``(classes,)``.
        ignore_index: label of samples that are ignored.
    """
    weights, target = _weights(logits, labels, areas, ignore_index), _one_hot(logits, labels, ignore_index)
    losses = F.binary_cross_entropy_with_logits(logits.float(), target, reduction="none").flatten(2).transpose(1, 2)
    by_class = batch_sum((losses * weights.reshape(len(losses), -1, 1)).sum((0, 1)))
    by_class = by_class / _positive(batch_sum(weights.sum()))
    return _mean_over_classes(by_class, torch.ones_like(by_class), class_weights)


def tversky_loss(
    logits: Tensor,
    labels: Tensor,
    areas: Tensor | None = None,
    class_weights: Tensor | None = None,
    ignore_index: int = NO_INDEX,
    false_positives: float = FALSE_POSITIVES,
    false_negatives: float = FALSE_NEGATIVES,
) -> Tensor:
    """Return 1 minus the mean Tversky index ``TP / (TP + α FP + β FN)`` over the classes that occur in the batch.

    The counts are sums of probabilities over all samples of the batch (Salehi et al., MLMI 2017); a class that does not
    occur in the batch has no index, as in segmentation_models.pytorch.

    Args:
        logits: ``(batch, classes, ...)``.
        labels: ``(batch, ...)``.
        areas: weight of each sample, broadcast to the shape of ``labels``.
        class_weights: weight of each class in the mean over classes, ``(classes,)``.
        ignore_index: label of samples that are ignored.
        false_positives: α.
        false_negatives: β.
    """
    weights = _weights(logits, labels, areas, ignore_index).flatten()
    probability = _by_class(logits.float().softmax(1))
    true = _by_class(_one_hot(logits, labels, ignore_index)) * weights
    sums = torch.stack([(probability * true).sum(1), (probability * weights).sum(1), true.sum(1)])
    common, predicted, occurring = batch_sum(sums)
    wrong = false_positives * (predicted - common) + false_negatives * (occurring - common)
    losses = 1 - common / _positive(common + wrong)
    return _mean_over_classes(losses, (occurring > 0).to(losses.dtype), class_weights)


def dice_loss(
    logits: Tensor,
    labels: Tensor,
    areas: Tensor | None = None,
    class_weights: Tensor | None = None,
    ignore_index: int = NO_INDEX,
) -> Tensor:
    """Return 1 minus the mean Dice coefficient ``2 TP / (2 TP + FP + FN)`` over the classes that occur in the batch.

    Arguments are those of ``tversky_loss``, which this is with α = β = 0.5 (Milletari et al., V-Net, 3DV 2016, with
    probabilities in place of their squares).
    """
    return tversky_loss(logits, labels, areas, class_weights, ignore_index, 0.5, 0.5)


def lovasz_loss(
    logits: Tensor,
    labels: Tensor,
    areas: Tensor | None = None,
    class_weights: Tensor | None = None,
    ignore_index: int = NO_INDEX,
) -> Tensor:
    """Return the Lovász-Softmax loss over the classes that occur in the batch: a convex extension of 1 − IoU.

    Berman et al., CVPR 2018, algorithm 1; with areas the IoU is that of areas. In several processes each sorts the
    errors of all samples, so that they exchange the logits.

    Args:
        logits: ``(batch, classes, ...)``.
        labels: ``(batch, ...)``.
        areas: weight of each sample, broadcast to the shape of ``labels``.
        class_weights: weight of each class in the mean over classes, ``(classes,)``.
        ignore_index: label of samples that are ignored.
    """
    logits, labels = all_rows(logits.float()), all_rows(labels)
    weights = _weights(logits, labels, areas, ignore_index).flatten()
    probability, true = _by_class(logits.softmax(1)), _by_class(_one_hot(logits, labels, ignore_index))
    errors, order = (true - probability).abs().sort(1, descending=True)
    of_class, others = (true * weights).gather(1, order), ((1 - true) * weights).gather(1, order)
    total = of_class.sum(1, keepdim=True)
    # 1 - IoU if the samples up to each one were wrong; the loss weighs each error by the increase that it causes.
    jaccard = 1 - (total - of_class.cumsum(1)) / _positive(total + others.cumsum(1))
    losses = (errors * torch.diff(jaccard, dim=1, prepend=torch.zeros_like(total))).sum(1)
    return _mean_over_classes(losses, (total[:, 0] > 0).to(losses.dtype), class_weights)


LOSSES: dict[str, Callable[..., Tensor]] = {
    "ce": cross_entropy,
    "bce": binary_cross_entropy,
    "focal": focal_loss,
    "dice": dice_loss,
    "tversky": tversky_loss,
    "lovasz": lovasz_loss,
}
"""Losses by name; all take logits, labels, areas, class weights and the ignored label."""
SAMPLE_LOSSES = ("ce", "bce", "focal")
"""Losses that are a mean over samples, and so have a meaning for one label per image; the others measure regions."""


class LabelLoss(nn.Module):
    """Sum of losses of labels; its weights are non-persistent buffers.

    Args:
        names: names of ``LOSSES`` with plus signs between them.
        areas: weight of each sample, broadcast to the shape of the labels.
        class_weights: weight of each class.
        ignore_index: label of samples that are ignored.
        label_smoothing: that of ``cross_entropy``; the other losses have none.

    Raises:
        InputError: an unknown name; a label smoothing without ``ce``, or that is not from 0 to below 1.

    Example:
        >>> loss = LabelLoss("ce+dice")
        >>> float(loss(torch.tensor([[[20.0], [-20.0]]]), torch.tensor([[0]])))
        0.0
    """

    areas: Tensor | None
    class_weights: Tensor | None

    def __init__(
        self,
        names: str = "ce",
        areas: Tensor | None = None,
        class_weights: Tensor | None = None,
        ignore_index: int = NO_INDEX,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        self.register_buffer("areas", areas, persistent=False)
        self.register_buffer("class_weights", class_weights, persistent=False)
        self.names, self.ignore_index = parse_losses(names), ignore_index
        rule = "must be a number from 0 to below 1"
        smoothing = check_number("label_smoothing", label_smoothing, lambda s: 0 <= s < 1, rule, "use 0.1")
        if smoothing and "ce" not in self.names:
            raise InputError("label_smoothing", smoothing, f"is not used by the loss {names}", "use loss='ce'")
        smooth = {"ce": partial(cross_entropy, label_smoothing=smoothing)} if smoothing else {}
        self.terms = [(LOSSES | smooth)[name] for name in self.names]

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the sum of the losses of ``(batch, classes, ...)`` and ``(batch, ...)``."""
        terms = [term(logits, labels, self.areas, self.class_weights, self.ignore_index) for term in self.terms]
        return torch.stack(terms).sum()


def parse_losses(names: str, known: Collection[str] | None = None, user: str = "") -> tuple[str, ...]:
    """Return the names of a sum of losses.

    Args:
        names: the names, with plus signs between them.
        known: names of the losses that have a meaning; by default all of ``LOSSES``.
        user: what they have a meaning for, for the error message: ``for the task classify``.

    Raises:
        InputError: another name, or one that stands twice.

    Example:
        >>> parse_losses("ce+dice")
        ('ce', 'dice')
    """
    parts = tuple(part.strip() for part in names.split("+"))
    allowed = list(LOSSES if known is None else known)
    for part in parts:
        if part not in LOSSES:
            rule = f"must be one of {', '.join(LOSSES)}, or a sum of them"
            raise InputError("loss", names, rule, did_you_mean(part, LOSSES, "use 'ce+dice'"))
        if part not in allowed:
            rule = f"must be one of {', '.join(allowed)}, or a sum of them{f', {user}' if user else ''}"
            raise InputError("loss", names, rule, f"use loss={allowed[0]!r}")
    if len(set(parts)) < len(parts):
        raise InputError("loss", names, "names a loss twice", "name each once")
    return parts


def multilabel_cross_entropy(
    logits: Tensor, labels: Tensor, weights: Tensor | None = None, exponent: float = 0.0
) -> Tensor:
    """Return the weighted mean binary cross entropy of the labels that are known; 0 if none is.

    Without weights and unknown labels this is ``torch.nn.functional.binary_cross_entropy_with_logits``.

    Args:
        logits: ``(batch, classes)``.
        labels: 1, 0, or negative where they are not known, ``(batch, classes)``.
        weights: weight of the labels 0 and 1 of each class, ``(2, classes)``.
        exponent: γ of the focal loss, ``-(1 - p)**γ · log p`` with the probability p of the true label.
    """
    known, target = labels >= 0, labels.clamp_min(0).float()
    losses = F.binary_cross_entropy_with_logits(logits.float(), target, reduction="none")
    if exponent:
        losses = (-torch.expm1(-losses)).pow(exponent) * losses  # 1 - p, exact where p is near 1
    counted = known.float()
    if weights is not None:
        counted = counted * torch.where(target > 0, weights[1], weights[0])
    return (losses * counted).sum() / _positive(counted.sum())


MULTILABEL_LOSSES: dict[str, Callable[..., Tensor]] = {
    "bce": multilabel_cross_entropy,
    "focal": partial(multilabel_cross_entropy, exponent=FOCUS),
}
"""Losses of several labels for each image, by name."""


class MultiLabelLoss(nn.Module):
    """Sum of losses of several labels for each image; its weights are a non-persistent buffer.

    Args:
        names: names of ``MULTILABEL_LOSSES`` with plus signs between them.
        frequencies: share of the images that have each class, to weight its labels 1 and 0 by ``balancing_weights``.

    Raises:
        InputError: another name.
    """

    weights: Tensor | None

    def __init__(self, names: str = "bce", frequencies: Sequence[float] | None = None) -> None:
        super().__init__()
        self.terms = [MULTILABEL_LOSSES[name] for name in parse_losses(names, MULTILABEL_LOSSES)]
        weights = None
        if frequencies:
            weights = torch.stack([balancing_weights([1 - f for f in frequencies]), balancing_weights(frequencies)])
        self.register_buffer("weights", weights, persistent=False)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the sum of the losses of ``(batch, classes)`` and labels of the same shape."""
        return torch.stack([term(logits, labels, self.weights) for term in self.terms]).sum()


def balancing_weights(frequencies: Sequence[float]) -> Tensor:
    """Return the weight ``1 / ln(1.02 + frequency)`` of each class (ENet, Paszke et al. 2016, section 5.1)."""
    return torch.tensor([1 / math.log(1.02 + frequency) for frequency in frequencies])


def _weights(logits: Tensor, labels: Tensor, areas: Tensor | None, ignore_index: int) -> Tensor:
    """Return the weight of each sample, 0 for ignored ones, of the shape of ``labels``."""
    weights = (labels != ignore_index).to(torch.promote_types(logits.dtype, torch.float32))
    return weights if areas is None else weights * areas


def _one_hot(logits: Tensor, labels: Tensor, ignore_index: int) -> Tensor:
    """Return 1 for the true class, ``(batch, classes, ...)``; ignored samples count as class 0 with no weight."""
    known = labels.where(labels != ignore_index, 0)
    return torch.zeros_like(logits, dtype=torch.float32).scatter_(1, known.unsqueeze(1), 1)


def _by_class(x: Tensor) -> Tensor:
    """Reshape ``(batch, classes, ...)`` to ``(classes, samples)``."""
    return x.transpose(0, 1).flatten(1)


def _mean_over_classes(losses: Tensor, occurs: Tensor, class_weights: Tensor | None) -> Tensor:
    weights = occurs if class_weights is None else occurs * class_weights
    return (losses * weights).sum() / _positive(weights.sum())


def _positive(total: Tensor) -> Tensor:
    """Return a divisor: a sum of weights, or a tiny number where nothing has a weight."""
    return total.clamp_min(torch.finfo(total.dtype).tiny)
