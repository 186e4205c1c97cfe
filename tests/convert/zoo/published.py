"""Published networks with random weights; nothing is downloaded."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn


def torchvision(name: str, **options) -> nn.Module:
    from torchvision import models
    from torchvision.models import segmentation

    namespace = segmentation if hasattr(segmentation, name) else models
    return getattr(namespace, name)(weights=None, **options)


def timm(name: str) -> nn.Module:
    import timm as package

    return package.create_model(name, pretrained=False)


def smp(name: str, encoder: str = "resnet18") -> nn.Module:
    import segmentation_models_pytorch as package

    return getattr(package, name)(encoder, encoder_weights=None, classes=2)


def autoencoder() -> nn.Module:
    from diffusers import AutoencoderKL

    blocks = {"down_block_types": ("DownEncoderBlock2D",) * 3, "up_block_types": ("UpDecoderBlock2D",) * 3}
    return AutoencoderKL(block_out_channels=(16, 32, 32), norm_num_groups=8, **blocks)


SEAMLESS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "torchvision resnet50": (lambda: torchvision("resnet50"), 32),
    "torchvision deeplabv3": (lambda: torchvision("deeplabv3_resnet50", weights_backbone=None), 8),
    "torchvision fcn": (lambda: torchvision("fcn_resnet50", weights_backbone=None), 8),
    "torchvision densenet121": (lambda: torchvision("densenet121"), 32),
    "torchvision googlenet": (lambda: torchvision("googlenet", init_weights=False), 32),
    "torchvision mobilenet_v3": (lambda: torchvision("mobilenet_v3_small"), 32),
    "timm convnext": (lambda: timm("convnext_atto"), 32),
    "timm efficientnet": (lambda: timm("efficientnet_b0"), 32),
    "timm efficientnet with SAME padding": (lambda: timm("tf_efficientnet_b0"), 32),
    "timm resnet": (lambda: timm("resnet18"), 32),
    "timm resnet, blurred": (lambda: timm("resnetblur50"), 32),
    "smp Unet": (lambda: smp("Unet"), 32),
    "smp FPN": (lambda: smp("FPN"), 32),
    "smp Unet, efficientnet": (lambda: smp("Unet", "efficientnet-b0"), 32),
    "smp DeepLabV3Plus": (lambda: smp("DeepLabV3Plus"), 16),
    "smp Linknet": (lambda: smp("Linknet"), 32),
    "diffusers AutoencoderKL": (autoencoder, 4),
}
"""Networks that can be made seamless, and their total strides."""

WITH_SEAMS: dict[str, tuple[Callable[[], nn.Module], tuple[str, str]]] = {
    "torchvision vgg11": (lambda: torchvision("vgg11"), ("avgpool", "adaptive_avg_pool2d")),
    "torchvision squeezenet": (lambda: torchvision("squeezenet1_1"), ("features.0", "conv2d")),
    "torchvision swin": (lambda: torchvision("swin_t"), ("features.1.0.attn", "pad")),
    "smp PSPNet": (lambda: smp("PSPNet"), ("decoder.psp.blocks.2.pool.0", "adaptive_avg_pool2d")),
    "timm vit": (lambda: timm("vit_tiny_patch16_224"), ("", "add")),
}
"""Networks that cannot, with a module and operation that leaves a seam."""
