"""Mixed precision: a step of every method of generation and inpainting in bfloat16, two optimizers in float16."""

from __future__ import annotations

import lightning.pytorch as L
import pytest
import torch
from lightning.pytorch.plugins.precision import MixedPrecision
from torch.utils.data import DataLoader, TensorDataset

from omniconv.cli import main
from omniconv.models import build
from omniconv.tasks import get_task
from omniconv.tasks.inpaint.base import HOLE
from omniconv.training.module import AdversarialModule
from omniconv.training.settings import RunConfig

METHODS = [("generate", method) for method in ("edm", "flow", "vae", "gan")]
METHODS += [("inpaint", method) for method in ("gated", "partial", "plain", "deepfill")]


def network_of(name, method, **settings):
    torch.manual_seed(0)
    settings = {"width": 4, "depth": 2, "surface": "equirectangular"} | settings
    config = RunConfig.with_task_defaults(task=name, method=method, **settings)
    return build(config.model_name, config.network_arguments(3, ())), config


def batch_of(name):
    x = torch.randn(2, 3, 16, 32, generator=torch.Generator().manual_seed(0))
    codes = torch.zeros(2, 1, 16, 32, dtype=torch.uint8)
    codes[..., 4:12, 20:] = HOLE
    return x, codes if name == "inpaint" else torch.zeros(2, dtype=torch.int64)


@pytest.mark.parametrize(("name", "method"), METHODS)
def test_a_step_in_bfloat16(name, method):
    """As Lightning computes it: losses under autocast, gradients and weights in single precision."""
    task, batch = get_task(name, method), batch_of(name)
    network, _ = network_of(name, method)
    adversary, criterion = task.adversary(network), task.criterion(torch.ones(16, 32), None)
    for trained, arguments in ((adversary, (network, adversary)), (network, (network,))):
        if trained is None:
            continue
        before = [parameter.detach().clone() for parameter in trained.parameters()]
        optimizer = torch.optim.AdamW(trained.parameters(), 1e-2, task.betas)
        optimizer.zero_grad()
        with MixedPrecision("bf16-mixed", "cpu").forward_context():
            if trained is adversary:
                loss = task.adversary_loss(*arguments, criterion, batch)
            else:
                loss = task.training_loss(network, criterion, batch, *([adversary] if adversary else []))
        assert loss.isfinite()
        loss.backward()
        optimizer.step()
        after = list(trained.parameters())
        assert all(one.dtype == torch.float32 and one.isfinite().all() for one in after)
        assert any(not torch.equal(one, other) for one, other in zip(before, after, strict=True))


@pytest.mark.filterwarnings("ignore::lightning.fabric.utilities.warnings.PossibleUserWarning")  # as `fit` does
@pytest.mark.filterwarnings("ignore:.*(LeafSpec|before `optimizer.step)")
@pytest.mark.parametrize("overflows", ["adversary_loss", "training_loss"])
def test_an_overflow_in_float16_skips_the_step_of_its_own_optimizer(tmp_path, monkeypatch, overflows):
    """The scaled loss of one network is too large for its gradients: the other network is trained all the same."""
    network, config = network_of("generate", "gan", learning_rate=1e-2)
    task, calls = config.task_object, iter(range(9))
    loss = getattr(task, overflows)
    monkeypatch.setattr(task, overflows, lambda *given: loss(*given).float() * (1e36 if next(calls) == 0 else 1))
    module = AdversarialModule(network, task.adversary(network), config, 0, None)
    scales, trained = [], {"network": [], "adversary": []}

    class Watch(L.Callback):
        def on_train_batch_end(self, trainer, module, *arguments):
            scales.append(trainer.precision_plugin.scaler.get_scale())
            for name, optimizer in zip(trained, trainer.optimizers, strict=True):
                trained[name].append({int(state["step"]) for state in optimizer.state.values()})

    trainer = L.Trainer(
        accelerator="cpu", devices=1, max_epochs=1, callbacks=[Watch()], logger=False, default_root_dir=tmp_path,
        plugins=[MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=1024))],
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(module, DataLoader(TensorDataset(*batch_of("generate")), batch_size=1))
    assert scales == [512, 512]
    once, twice = ("adversary", "network") if overflows == "adversary_loss" else ("network", "adversary")
    assert trained == {once: [set(), {1}], twice: [{1}, {2}]}


@pytest.mark.parametrize("words", [["train", "segment", "data"], ["train", "generate", "data", "--method", "gan"]])
def test_float16_on_the_cpu_is_refused(words, capsys):
    assert main([*words, "--precision", "16", "--device", "cpu"]) == 2
    text = "omniconv: --precision='16': needs a CUDA device, and this training is on the CPU; use --precision bf16\n"
    assert capsys.readouterr().err == text
