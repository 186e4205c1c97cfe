"""Lightning modules: training and validation steps, optimizers and schedules."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from typing import Any, cast

import lightning.pytorch as L
import numpy as np
import torch
from torch import Tensor, nn

from omniconv.errors import InputError
from omniconv.models import Model
from omniconv.models.registry import IMAGE_OUTPUTS
from omniconv.nn.distributed import Share, shared_batch, sum_over_processes
from omniconv.nn.inspection import copy_network
from omniconv.nn.norm.sync_batch_norm import synchronized_layers
from omniconv.tasks.evaluation import of_this_process
from omniconv.training.dataset_splits import DatasetSplits
from omniconv.training.mixing import BatchMixing, make_mixing
from omniconv.training.settings import RunConfig

MOMENTUM = 0.9
"""Momentum of SGD."""
WARM_UP = 0.05
"""Fraction of the steps in which the learning rate rises."""
EMA_RAMP_UP = 0.05
"""Largest half-life of the averaged weights as a fraction of the images seen (Karras et al. 2022, official code)."""
IMAGES_SEEN = "images_seen"
"""Key of the number of images seen in a checkpoint, with averaged weights."""


class TrainingModule(L.LightningModule):
    """Training by AdamW (or another optimizer) with the learning rate schedule of ``learning_rate_factor``.

    Loss and validation metrics are those of the network's own samples; those of images on a sphere are weighted by
    area. They correspond to ``by_area`` in ``evaluation.json``, which is measured at the images' own size.

    Args:
        network: the network to train.
        config: the settings.
        classes: number of classes or output channels.
        areas: area of each sample on a sphere, mean 1; ``None`` on a plane.
        class_frequencies: relative frequency of each class, to weight rare classes up in the loss.

    Attributes:
        average: network with the moving average of the weights; ``None`` without ``config.ema``.
        adversary: network that is trained against the first one; ``None`` without one.
        mixing: augmentation of whole batches; ``None`` without one.
        compiled: the network as compiled for the training steps, with the same parameters; empty without ``compile``.
        images_seen: number of training images so far, each time that it was drawn.
    """

    areas: Tensor | None
    average: Model | None
    adversary: nn.Module | None

    def __init__(
        self,
        network: Model,
        config: RunConfig,
        classes: int,
        areas: Tensor | None,
        class_frequencies: tuple[float, ...] | None = None,
    ) -> None:
        super().__init__()
        self.network, self.config, self.task = network, config, config.task_object
        self.average = cast(Model, copy_network(network)).requires_grad_(False).eval() if config.ema else None
        self.adversary = None
        self.images_seen = 0
        areas = areas if self.task.output in IMAGE_OUTPUTS else None
        self.criterion = self.task.criterion(areas, class_frequencies, **config.loss_settings)
        self.metric = self.task.metric(classes)
        self.register_buffer("areas", areas, persistent=False)
        self.mixing: BatchMixing | None = None
        # In a tuple it is no submodule, so that the names in a checkpoint are those of the network.
        self.compiled: tuple[Any, ...] = ()
        self._unchecked: list[tuple[str, Tensor, int]] = []
        self._validation_loss = torch.zeros(2, dtype=torch.float64)  # its sum over the images, and their number
        self._shares_validation = False

    @property
    def evaluated(self) -> Model:
        """The network that is validated and saved: the one with averaged weights, if there is one."""
        return self.network if self.average is None else self.average

    @property
    def networks(self) -> dict[str, nn.Module]:
        """All networks of the training by the start of their keys in a checkpoint."""
        found = {"network": self.network, "average": self.average, "adversary": self.adversary}
        return {name: network for name, network in found.items() if network is not None}

    def on_train_epoch_start(self) -> None:
        """Seed each epoch and freeze the backbone in the first ones: a resumed run trains as an uninterrupted one."""
        self.trainer.callback_metrics.clear()  # Lightning keeps values of earlier epochs that are not logged again
        seed_all(self.config.seed, self.current_epoch)
        if self.config.freeze:
            set_frozen(self.network, self.current_epoch < self.config.freeze)

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor | None:
        self.check_losses()
        criterion = self.criterion
        if self.mixing is not None:
            criterion, *batch = self.mixing.mix(criterion, *batch, self.current_epoch, index)  # type: ignore[assignment]
        network = self.compiled[0] if self.compiled else self.network
        with shared_batch(self._share(batch, index)), synchronized_layers(self.network):
            loss = self.task.training_loss(network, criterion, batch)
        self._log_loss("train_loss", loss, batch, index)
        return loss

    def on_train_batch_end(self, outputs: Any, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Update the averaged weights."""
        if self.average is not None:
            images = self._share(batch, batch_idx).total
            decay = ema_decay(images, self.images_seen, 1000 * self.config.ema)
            update_average(self.average, self.network, decay)
            self.images_seen += images

    def share_validation(self, is_shared: bool) -> None:
        """Set whether the measures of held-out samples are those of all processes together."""
        self._shares_validation = is_shared
        if not is_shared:
            of_this_process(self.metric)

    def on_validation_epoch_start(self) -> None:
        self._validation_loss = torch.zeros(2, dtype=torch.float64, device=self.device)

    def validation_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
        loader: Any = self.trainer.val_dataloaders
        self.metric.first_image = loader.sampler.start(index)
        loss = self.task.validation_loss(self.evaluated, self.criterion, batch, self.metric, self.areas)
        if loss is not None:
            images = len(batch[0])
            self._validation_loss += torch.stack([loss.double() * images, torch.full_like(loss, images).double()])

    def on_validation_epoch_end(self) -> None:
        # Summed here, not by `self.log`, which would wait for processes that have no loss to log.
        sums = self._validation_loss
        total, images = (sum_over_processes(sums) if self._shares_validation else sums).tolist()
        if images:
            self.log("val_loss", torch.tensor(total / images))
        computed = self.metric.compute()
        for name in self.task.validation_metrics:
            value = math.nan if computed[name] is None else float(computed[name])
            # Not logged over nothing: Lightning's EarlyStopping stops at NaN, and ignores what is not logged.
            if not math.isnan(value):
                self.log(f"val_{name}", torch.tensor(value), prog_bar=name == self.task.best_metric)
        self.metric.reset()

    def configure_optimizers(self) -> Any:
        return self._optimizer(self.network)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if self.average is not None:
            checkpoint[IMAGES_SEEN] = self.images_seen

    def on_load_checkpoint(self, checkpoint: Mapping[str, Any]) -> None:
        self.images_seen = checkpoint.get(IMAGES_SEEN, 0)

    def check_losses(self) -> None:
        """Check that the losses since the last call are finite.

        Raises:
            InputError: one is not.
        """
        unchecked, self._unchecked = self._unchecked, []
        for name, loss, index in unchecked:
            if not loss.isfinite():
                where = f"in step {index + 1} of epoch {self.current_epoch + 1}"
                raise learning_rate_error(self.trainer, f"let {name} become {float(loss)} {where}")

    def _optimizer(self, network: nn.Module) -> dict[str, Any]:
        """Return the optimizer of a network with its schedule, as Lightning takes them."""
        config = self.config
        given: dict[str, Any] = {"lr": config.learning_rate, "weight_decay": config.weight_decay}
        optimizer: torch.optim.Optimizer
        if config.optimizer == "sgd":
            optimizer = torch.optim.SGD(network.parameters(), momentum=MOMENTUM, nesterov=True, **given)
        else:
            adam = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}[config.optimizer]
            optimizer = adam(network.parameters(), betas=self.task.betas, **given)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: learning_rate_factor(step, steps, config.schedule)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _share(self, batch: tuple[Tensor, Tensor], index: int) -> Share:
        """Return the rows of a training batch that this process has; all in a single one."""
        if self.trainer.world_size == 1:
            return Share(0, len(batch[0]), len(batch[0]))
        loader: Any = self.trainer.train_dataloader
        return loader.sampler.share(index)

    def _log_loss(self, name: str, loss: Tensor, batch: tuple[Tensor, Tensor], index: int) -> None:
        # In several processes each has the loss of the whole batch.
        images = self._share(batch, index).total
        self.log(name, loss, on_step=False, on_epoch=True, prog_bar=True, batch_size=images)
        self._unchecked.append((name, loss.detach(), index))
        if loss.device.type == "cpu":  # other devices would have to finish this step first: checked in the next one
            self.check_losses()


class AdversarialModule(TrainingModule):
    """Training of a network against an adversary, each with its own optimizer and schedule.

    In each step the adversary is trained first. Both see the same batch, but their losses draw other random numbers.

    Args:
        network: the network to train.
        adversary: result of ``Task.adversary``.
        config: the settings.
        classes: number of classes or output channels.
        areas: area of each sample on a sphere, mean 1; ``None`` on a plane.
        class_frequencies: relative frequency of each class, to weight rare classes up in the loss.
    """

    adversary: nn.Module

    def __init__(
        self,
        network: Model,
        adversary: nn.Module,
        config: RunConfig,
        classes: int,
        areas: Tensor | None,
        class_frequencies: tuple[float, ...] | None = None,
    ) -> None:
        super().__init__(network, config, classes, areas, class_frequencies)
        self.adversary = adversary
        self.automatic_optimization = False  # Lightning's own loop knows one optimizer only

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
        self.check_losses()
        of_network, of_adversary = self.optimizers()  # type: ignore[attr-defined]  # a list, since there are two
        self.toggle_optimizer(of_adversary)  # the other network's parameters need no gradients
        share = self._share(batch, index)
        with shared_batch(share), synchronized_layers(self.network, self.adversary):
            loss = self.task.adversary_loss(self.network, self.adversary, self.criterion, batch)
        self._step(of_adversary, loss)
        self._log_loss("adversary_loss", loss, batch, index)
        self.toggle_optimizer(of_network)
        with shared_batch(share), synchronized_layers(self.network, self.adversary):
            loss = self.task.training_loss(self.network, self.criterion, batch, self.adversary)
        self._step(of_network, loss)
        self._log_loss("train_loss", loss, batch, index)
        for schedule in self.lr_schedulers():  # type: ignore[union-attr]  # a list, since there are two
            schedule.step()

    def configure_optimizers(self) -> Any:
        return self._optimizer(self.network), self._optimizer(self.adversary)

    def _step(self, optimizer: Any, loss: Tensor) -> None:
        optimizer.zero_grad()
        self.manual_backward(loss)  # scales the loss in float16
        optimizer.step()
        self.untoggle_optimizer(optimizer)


def build_module(network: Model, config: RunConfig, splits: DatasetSplits) -> TrainingModule:
    """Return the training of a network on the samples of a run, with the adversary of its task, if it has one."""
    areas = splits.preprocessing.areas()
    weights = None if areas is None else torch.from_numpy(areas)
    rest = config, len(splits.classes), weights, splits.class_frequencies if config.balance else None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        adversary = splits.task.adversary(network)
    if adversary is not None:
        return AdversarialModule(network, adversary, *rest)
    module, dense = TrainingModule(network, *rest), splits.task.target_interpolation is not None
    if config.compile:
        # Validation is not compiled: it is a graph of its own, whose compilation takes longer than it saves.
        module.compiled = (torch.compile(network, dynamic=False),)
    module.mixing = make_mixing(config.augment or (), config.seed, splits.preprocessing, dense)
    return module


def set_frozen(network: Model, frozen: bool) -> None:
    """Freeze the backbone of a network in training, or train it again.

    Frozen parameters have no gradients, so that no optimizer changes them, and batch normalization uses the mean and
    variance of the weights.
    """
    for module in network.backbone:
        module.requires_grad_(not frozen).train(not frozen)


def ema_decay(batch_size: int, images_seen: int, half_life: float) -> float:
    """Return the factor of the averaged weights in an update; the new weights have one minus it.

    The half-life is at most ``EMA_RAMP_UP`` of the images seen before, so that the first weights are soon forgotten.

    Args:
        batch_size: images of this step.
        images_seen: images of the steps before.
        half_life: images after which the weight of a step has halved.

    Example:
        >>> ema_decay(500, 10**9, 500)
        0.5
        >>> ema_decay(500, 0, 500)
        0.0
    """
    images = min(half_life, EMA_RAMP_UP * images_seen)
    return 0.5 ** (batch_size / images) if images else 0.0


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Move the parameters of ``average`` towards those of ``network``, and copy the buffers.

    The ``foreach`` operators take one kernel per dtype and device instead of one per parameter.
    """
    torch._foreach_lerp_([*average.parameters()], [*network.parameters()], 1 - decay)
    targets, sources = list(average.buffers()), list(network.buffers())
    if targets:
        torch._foreach_copy_(targets, sources)


def learning_rate_error(trainer: L.Trainer, rule: str) -> InputError:
    """Return the error of a training that diverged; the files of its last complete epoch stay."""
    rate = trainer.optimizers[0].param_groups[0]["initial_lr"]
    current = trainer.optimizers[0].param_groups[0]["lr"]
    kept = "the last complete epoch stays" if trainer.current_epoch else "no epoch is complete"
    rule = f"{rule} (at the learning rate {current:.2g}; {kept})"
    return InputError("learning_rate", rate, rule, f"use a smaller one: learning_rate={rate / 10:g}")


def seed_all(seed: int, epoch: int) -> None:
    """Seed the global random numbers of Python, NumPy and torch, on every device, for an epoch."""
    random.seed(seed + epoch)
    np.random.seed(np.random.SeedSequence([seed, epoch]).generate_state(4))  # noqa: NPY002  # tasks may draw from it
    torch.manual_seed(seed + epoch)


def learning_rate_factor(step: int, steps: int, schedule: str = "cosine") -> float:
    """Return the factor of the learning rate at a step.

    ``cosine``: linear warm-up, then half a cosine from 1 down to 0.01; ``constant``: linear warm-up, then 1;
    ``onecycle``: half a cosine from 1/25 up to 1 over 30 % of the steps and down to 1/250,000, as ``OneCycleLR``.
    """
    if schedule == "onecycle":
        top, last = 0.3 * steps - 1, max(0.0, steps - 1.0)
        start, end, done = (0.04, 1.0, step / top) if step <= top else (1.0, 4e-6, (step - top) / (last - top))
        return end + (start - end) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
    warm_up = max(1, round(WARM_UP * steps))
    if step < warm_up:
        return (step + 1) / warm_up
    if schedule == "constant":
        return 1.0
    done = min(1.0, (step - warm_up) / max(1, steps - warm_up))
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done))
