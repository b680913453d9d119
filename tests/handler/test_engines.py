"""Engines: which one is taken, and that all of them say the same about a few hundred pictures."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image

from handler.captioner import Captioner
from handler.engines import Search, load_engine, read_module
from tests.shipped import ARCHIVE

CPU = torch.device("cpu")
PHOTOS = ("astronaut", "camera", "cat", "coffee", "rocket")
SIZE = 224
TOLERANCE = 1e-3  # of log-probabilities, attention and confidence


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the shipped archive."""
    path = tmp_path_factory.mktemp("shipped")
    with zipfile.ZipFile(ARCHIVE) as file:
        file.extractall(path, ["captioner.pt", "vocab.json"])
    return path


@pytest.fixture(scope="module")
def engines(folder: Path) -> tuple[Captioner, Captioner]:
    """The shipped captioner by TorchScript and by ONNX Runtime."""
    files = folder / "captioner.pt", folder / "vocab.json", CPU
    return Captioner(*files, engine="torchscript"), Captioner(
        *files, engine="onnxruntime", precision="float32"
    )


def photo(name: str) -> Image.Image:
    return Image.fromarray(getattr(skimage.data, name)()).convert("RGB")


def pictures() -> torch.Tensor:
    """216 pictures: parts of photos, mirrored and turned, and drawn ones: noise, gradients, plain
    colours."""
    found = []
    for name in PHOTOS:
        whole = photo(name)
        width, height = whole.size
        for part in (1.0, 0.8, 0.6, 0.45, 0.3):
            for corner in (0.0, 0.5, 1.0):
                left, top = (width * (1 - part) * corner, height * (1 - part) * corner)
                box = (left, top, left + width * part, top + height * part)
                seen = whole.resize((SIZE, SIZE), box=box)
                found += [seen, seen.transpose(Image.Transpose.FLIP_LEFT_RIGHT)]
    noise = np.random.default_rng(0)
    for side in range(1, 23):
        small = noise.integers(0, 256, (side, side, 3), np.uint8)
        enlarged = Image.fromarray(small)
        found += [
            enlarged.resize((SIZE, SIZE), kind)
            for kind in (Image.Resampling.NEAREST, Image.Resampling.BICUBIC)
        ]
    found += [
        Image.new("RGB", (SIZE, SIZE), tuple(map(int, colour)))
        for colour in noise.integers(0, 256, (22, 3))
    ]
    return torch.from_numpy(np.stack([np.asarray(one) for one in found])).permute(0, 3, 1, 2)


@pytest.mark.parametrize(
    ("search", "every"),
    [
        pytest.param(Search(3, 20, 3, True), 1, marks=pytest.mark.slow),
        # Of every ninth picture: one batch.
        *((Search(3, 20, 3, True), 9), (Search(5, 12, 1), 9), (Search(1, 50, 1), 9)),
    ],
)
def test_engines_say_the_same(
    engines: tuple[Captioner, Captioner], search: Search, every: int
) -> None:
    seen = pictures()
    assert len(seen) > 200
    for batch in seen[::every].contiguous().split(24):
        one, other = (captioner(batch, search) for captioner in engines)
        assert torch.equal(one.tokens, other.tokens)
        for ours, theirs in zip(one[1:], other[1:], strict=True):
            assert torch.allclose(ours, theirs, atol=TOLERANCE)


def test_the_faster_engine_is_taken(engines: tuple[Captioner, Captioner], folder: Path) -> None:
    taken = Captioner(folder / "captioner.pt", folder / "vocab.json", CPU)
    assert [one.engine.name for one in (*engines, taken)] == [
        "torchscript",
        "onnxruntime",
        "onnxruntime",
    ]


def test_without_onnx_runtime(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    exported = read_module(folder / "captioner.pt", CPU)
    with pytest.raises(ValueError, match="'onnxruntime', but the package onnxruntime is not inst"):
        load_engine(exported, "onnxruntime", CPU)
    assert load_engine(exported, "auto", CPU).name == "torchscript"
    assert "not installed" in caplog.messages[-1]


def test_a_module_without_a_graph(model_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
    exported = read_module(model_dir / "captioner.pt", CPU)
    with pytest.raises(ValueError, match="ONNX graph.*--repack"):
        load_engine(exported, "onnxruntime", CPU)
    assert load_engine(exported, "auto", CPU).name == "torchscript"
    assert "no ONNX graph" in caplog.messages[-1]


def test_a_gpu_is_never_left_for_the_cpu(folder: Path) -> None:
    exported = read_module(folder / "captioner.pt", CPU)
    with pytest.raises(ValueError, match="the device is cuda:0"):
        load_engine(exported, "onnxruntime", torch.device("cuda", 0))


def test_a_gpu_gets_the_layout_that_suits_it(folder: Path) -> None:
    weights = read_module(folder / "captioner.pt", CPU).script.half().state_dict()
    filters = [w for w in weights.values() if w.dim() == 4 and w.shape[0] > 3]
    assert len(filters) > 50
    assert all(w.is_contiguous(memory_format=torch.channels_last) for w in filters)
