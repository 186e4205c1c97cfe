"""Whether a run can work at all, found out before its folder is made."""

from __future__ import annotations

from typing import Any

from omniconv.errors import FileError, InputError
from omniconv.models import Model
from omniconv.run_folder import RunFolder
from omniconv.summaries import summary
from omniconv.training.checkpoints import WholeCheckpoints
from omniconv.training.material import Material
from omniconv.training.settings import RunConfig

PARTS = ("epoch", "state_dict", "optimizer_states", "lr_schedulers", "callbacks", "loops")


def check_feasible(config: RunConfig, network: Model, material: Material) -> None:
    """Check that pictures of the run's size go through its network, and that batch normalisation can learn.

    Raises:
        InputError: the size, the depth or the batch does not fit.
    """
    where = network.surface
    grid = tuple(config.size) if where.any_size else ()
    rows = summary(network, (3, *grid)).rows
    coarsest = min((row.output[1:] for row in rows if row.kind == "Conv"), key=lambda sizes: max(sizes, default=1))
    if max(coarsest, default=1) > 1:
        return
    pictures = len(material.training.samples) * config.repeat
    if min(config.batch_size, pictures) == 1:
        raise InputError(
            "depth", config.depth, f"leaves a single sample of a picture of {config.size}, and a batch has one picture",
            "use a smaller depth, a larger size or a larger batch",
        )  # fmt: skip


def read_checkpoint(run: RunFolder, network: Model) -> dict[str, Any]:
    """The last checkpoint of a run, checked to be one of this network's.

    Raises:
        FileError: it is damaged, or of another network.
    """
    found = WholeCheckpoints().load_checkpoint(run.checkpoint)
    if not isinstance(found, dict) or any(part not in found for part in PARTS):
        raise FileError(run.checkpoint, "is no checkpoint of a training", "remove it to train from the start")
    kept = {key.removeprefix("network."): value for key, value in found["state_dict"].items()}
    for name, value in network.state_dict().items():
        if name not in kept or kept[name].shape != value.shape:
            raise FileError(
                run.checkpoint, f"is not of the network that config.yaml describes ({name} differs)",
                "bring config.yaml back as it was, or train anew",
            )  # fmt: skip
    return found
