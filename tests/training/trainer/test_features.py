"""Encoder features: computed once, kept safely, found again by what they depend on."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.training import tiny
from tests.training.drawn import Drawing, drawings
from training.data.augment import Augmentation
from training.data.splits import Example
from training.data.store import FeatureStore, read_picture
from training.model.encoders import Encoder
from training.trainer import features
from training.trainer.features import feature_store


@pytest.fixture
def examples(tmp_path: Path) -> list[Example]:
    return [Example(d.save(tmp_path), (d.caption,), d.name) for d in drawings([5])[:5]]


class CountingEncoder(Encoder):
    """An encoder that counts the pictures it has seen, and fails after some of them."""

    def __init__(self, seed: int = 0, image_size: int = tiny.IMAGE_SIZE) -> None:
        torch.manual_seed(seed)
        super().__init__(tiny.TinyTrunk(), image_size, tiny.HALF, tiny.HALF)
        self.seen = 0
        self.fails_at = 1_000_000

    def forward(self, images: Tensor) -> Tensor:
        if self.seen >= self.fails_at:
            raise KeyboardInterrupt
        self.seen += len(images)
        return super().forward(images)


@pytest.fixture
def encoder() -> CountingEncoder:
    return CountingEncoder()


def store(encoder: Encoder, examples: list[Example], folder: Path, views: int = 1) -> FeatureStore:
    flips = Augmentation(flips=True)
    return feature_store(encoder, "tiny", examples, folder, views=views, augmentation=flips)


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "BATCH_SIZE", 2)


def test_features_are_the_encoder_s(
    encoder: CountingEncoder, examples: list[Example], tmp_path: Path
) -> None:
    found = store(encoder, examples, tmp_path / "cache", views=2)
    assert found.array.shape == (5, 2, 4, 24)
    assert found.array.dtype == np.float16
    for example in examples:
        pixels = read_picture(example.path, tiny.IMAGE_SIZE).unsqueeze(0)
        with torch.no_grad():
            expected, mirrored = encoder(pixels)[0].half(), encoder(pixels.flip(-1))[0].half()
        assert torch.allclose(found.get(example.name), expected, atol=1e-3)
        assert torch.allclose(found.get(example.name, 1), mirrored, atol=1e-3)
        assert not torch.allclose(expected, mirrored, atol=1e-3)


def test_they_are_computed_once(
    encoder: CountingEncoder, examples: list[Example], tmp_path: Path
) -> None:
    first = store(encoder, examples, tmp_path / "cache", views=2)
    assert encoder.seen == 10
    again = store(encoder, list(reversed(examples)), tmp_path / "cache", views=2)
    assert encoder.seen == 10
    assert all(torch.equal(first.get(e.name), again.get(e.name)) for e in examples)


def other_weights(encoder: CountingEncoder, examples: list[Example]) -> CountingEncoder:
    return CountingEncoder(seed=1)


def other_statistics(encoder: CountingEncoder, examples: list[Example]) -> CountingEncoder:
    other = CountingEncoder()
    dict(other.named_buffers())["trunk.first.1.running_mean"] += 0.5
    return other


def other_size(encoder: CountingEncoder, examples: list[Example]) -> CountingEncoder:
    return CountingEncoder(image_size=48)


def another_picture(encoder: CountingEncoder, examples: list[Example]) -> CountingEncoder:
    new = Drawing("red", "square", 3)
    folder = examples[0].path.parent
    examples.append(Example(new.save(folder), (new.caption,), new.name))
    return encoder


def another_content(encoder: CountingEncoder, examples: list[Example]) -> CountingEncoder:
    path = examples[0].path
    stat = path.stat()
    Drawing("green", "square", 5).image(80).save(path)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    return encoder


def another_time(encoder: CountingEncoder, examples: list[Example]) -> CountingEncoder:
    os.utime(examples[0].path, ns=(1, 1))
    return encoder


def same_weights(encoder: CountingEncoder, examples: list[Example]) -> CountingEncoder:
    return CountingEncoder()


Change = Callable[[CountingEncoder, list[Example]], CountingEncoder]


@pytest.mark.parametrize(
    ("change", "files"),
    [
        (other_weights, 2),
        (other_statistics, 2),
        (other_size, 2),
        (another_picture, 2),
        (another_content, 2),
        (another_time, 2),
        (same_weights, 1),
    ],
)
def test_what_they_depend_on_names_them(
    encoder: CountingEncoder, examples: list[Example], tmp_path: Path, change: Change, files: int
) -> None:
    store(encoder, examples, tmp_path / "cache")
    store(change(encoder, examples), examples, tmp_path / "cache")
    assert len(list((tmp_path / "cache").glob("*.npy"))) == files


def test_more_views_are_other_features(
    encoder: CountingEncoder, examples: list[Example], tmp_path: Path
) -> None:
    assert store(encoder, examples, tmp_path / "cache").views == 1
    assert store(encoder, examples, tmp_path / "cache", views=2).views == 2


def test_an_interrupted_run_leaves_no_features(
    encoder: CountingEncoder, examples: list[Example], tmp_path: Path
) -> None:
    encoder.fails_at = 4
    with pytest.raises(KeyboardInterrupt):
        store(encoder, examples, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []
    encoder.fails_at = 1_000_000
    encoder.seen = 0
    found = store(encoder, examples, tmp_path / "cache")
    assert encoder.seen == 5
    assert set(found.rows) == {example.name for example in examples}


@pytest.mark.parametrize("moment", ["encoding", "writing the index", "renaming"])
def test_what_a_killed_run_leaves_is_not_taken_for_features_and_goes(
    examples: list[Example], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    encoder = CountingEncoder()
    pid = os.fork()
    if pid == 0:  # the run that is killed: nothing of it may clean up
        try:
            kill = lambda *_, **__: os._exit(9)  # noqa: E731
            if moment == "encoding":
                encoder.forward = kill  # type: ignore[method-assign]
            elif moment == "writing the index":
                Path.write_text = kill  # type: ignore[method-assign]
            else:
                os.replace = kill
            store(encoder, examples, tmp_path / "cache")
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9
    (left,) = (tmp_path / "cache").glob("*.partial")
    assert list((tmp_path / "cache").glob("*.npy")) == []
    alive = left.with_name(left.name.replace(f".{pid}.", f".{os.getppid()}."))
    alive.write_bytes(b"another run's")
    found = store(encoder, examples, tmp_path / "cache")
    assert encoder.seen == 5
    assert not left.exists()
    assert alive.exists()
    assert all(found.get(example.name).abs().sum() > 0 for example in examples)


def test_unreadable_pictures_are_noted(
    encoder: CountingEncoder, examples: list[Example], tmp_path: Path
) -> None:
    examples[1].path.write_text("no picture")
    examples[2].path.write_bytes(b"")
    examples[3].path.write_bytes(examples[3].path.read_bytes()[:90])
    for _ in range(2):  # computed, then found
        found = store(encoder, examples, tmp_path / "cache")
        assert set(found.rows) == {examples[0].name, examples[4].name}
        whys = [found.unreadable[one.name] for one in examples[1:4]]
        pairs = zip(("text", "empty", "truncated"), whys, strict=True)
        assert [word for word, why in pairs if word not in why] == []
    with pytest.raises(KeyError):
        found.get(examples[1].name)
    last = read_picture(examples[4].path, tiny.IMAGE_SIZE).unsqueeze(0)
    with torch.no_grad():
        assert torch.allclose(found.get(examples[4].name), encoder(last)[0].half(), atol=1e-3)
