"""Captioned pictures in batches."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from handler.text import EOS, PAD
from tests.training.drawn import Drawing, drawings
from training.data.augment import Augmentation
from training.data.batches import CaptionDataset, collate, drop_unreadable, get_loader
from training.data.splits import DataError, Example
from training.data.vocabulary import Vocabulary

RED = Drawing("red", "circle")


BLUE = Drawing("blue", "square")


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    """A folder with two pictures."""
    RED.save(tmp_path)
    BLUE.save(tmp_path)
    return tmp_path


def test_unreadable_pictures_are_named(pair: Path, caplog: pytest.LogCaptureFixture) -> None:
    (pair / "text.png").write_text("no picture")
    cut = pair / "cut.png"
    cut.write_bytes((pair / RED.name).read_bytes()[:100])
    names = [RED.name, "text.png", "cut.png"]
    examples = [Example(pair / name, ("a thing",), name) for name in names]
    assert drop_unreadable(examples, 32) == examples[:1]
    assert "2 problem(s): unreadable picture 'text.png'" in caplog.text
    assert "unreadable picture 'cut.png' (The PNG picture is truncated" in caplog.text
    with pytest.raises(DataError, match="2 problem"):
        drop_unreadable(examples, 32, strict=True)


@pytest.fixture
def vocabulary() -> Vocabulary:
    return Vocabulary(1).build(drawing.caption for drawing in drawings([0]))


@pytest.fixture
def examples(pair: Path) -> list[Example]:
    return [
        Example(pair / RED.name, ("a red circle", "a circle on white"), RED.name),
        Example(pair / BLUE.name, ("a blue square",), BLUE.name),
    ]


def test_a_batch_pads_captions_and_keeps_their_places(
    examples: list[Example], vocabulary: Vocabulary
) -> None:
    dataset = CaptionDataset(examples, vocabulary, image_size=32)
    (batch,) = list(get_loader(dataset, batch_size=2))
    assert (batch.images.shape, batch.images.dtype) == ((2, 3, 32, 32), torch.uint8)
    assert batch.indices.tolist() == [0, 1]
    code = vocabulary.stoi
    circle = [code["a"], code["red"], code["circle"], EOS, PAD]
    white = [code["a"], code["circle"], code["on"], code["white"], EOS]
    square = [code["a"], code["blue"], code["square"], EOS, PAD]
    assert batch.captions.tolist() == [[circle, white], [square, [PAD] * 5]]
    assert torch.equal(batch.images[1], dataset[1][0])
    # A red circle on white: its middle is red, its corner white.
    assert batch.images[0, :, 16, 16].tolist() == [255, 0, 0]
    assert batch.images[0, :, 0, 0].tolist() == [255, 255, 255]


def test_collate_takes_features() -> None:
    items = [(torch.zeros(4, 6), [[4, EOS]], 3, None), (torch.ones(4, 6), [[4, 5, EOS]], 1, None)]
    batch = collate(items)
    assert batch.images.shape == (2, 4, 6)
    assert batch.captions.tolist() == [[[4, EOS, PAD]], [[4, 5, EOS]]]
    assert batch.indices.tolist() == [3, 1]


def test_the_sampler_s_epoch_decides_the_order(pair: Path, vocabulary: Vocabulary) -> None:
    example = Example(RED.save(pair), ("a red circle",), RED.name)
    dataset = CaptionDataset([example] * 20, vocabulary, image_size=8)
    loader = get_loader(dataset, batch_size=6, shuffle=True)

    def order(seed: int) -> list[int]:
        loader.sampler.set_epoch(seed)  # type: ignore[attr-defined]
        return [index for batch in loader for index in batch.indices.tolist()]

    assert len(dataset) == 20
    assert len(loader) == 4
    assert order(1) == order(1) != order(2)
    assert sorted(order(1)) == list(range(20))


def test_captions_are_cut_at_max_tokens(examples: list[Example], vocabulary: Vocabulary) -> None:
    dataset = CaptionDataset(examples, vocabulary, max_tokens=2)
    assert [len(caption) for caption in dataset.tokens[0]] == [2, 2]
    assert EOS not in dataset.tokens[0][0]


def test_augmenting_mirrors_about_half_of_the_pictures(
    examples: list[Example], vocabulary: Vocabulary, pair: Path
) -> None:
    lone = [Example(Drawing("red", "square", 9).save(pair), ("a red square",), "a")]
    varied = Augmentation(flips=True)
    dataset = CaptionDataset(lone, vocabulary, image_size=32, augmentation=varied)
    plain = CaptionDataset(lone, vocabulary, image_size=32)
    original = plain[0][0]
    torch.manual_seed(0)
    seen = [dataset[0][0] for _ in range(40)]
    mirrored = [torch.equal(pixels, original.flip(-1)) for pixels in seen]
    kept = [torch.equal(pixels, original) for pixels in seen]
    assert sum(mirrored) + sum(kept) == 40
    assert 8 < sum(mirrored) < 32
    assert all(torch.equal(plain[0][0], original) for _ in range(5))
