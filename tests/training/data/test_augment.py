"""Mirrored and cropped looks at a picture."""

from __future__ import annotations

import torch

from training.data.augment import Augmentation

PICTURE = torch.arange(3 * 32 * 32).remainder(251).view(3, 32, 32).to(torch.uint8)


def test_nothing_varies_unless_asked() -> None:
    assert torch.equal(Augmentation()(PICTURE), PICTURE)
    assert torch.equal(Augmentation().view(PICTURE, "a.jpg", 3), PICTURE)


def test_half_of_the_pictures_are_mirrored() -> None:
    torch.manual_seed(0)
    looks = [Augmentation(flips=True)(PICTURE) for _ in range(200)]
    mirrored = sum(torch.equal(look, PICTURE.flip(-1)) for look in looks)
    assert sum(torch.equal(look, PICTURE) for look in looks) + mirrored == 200
    assert 70 < mirrored < 130


def test_a_crop_keeps_its_share_and_fills_the_picture() -> None:
    """On a ramp from 0 to 255, the range of values that is left is the share of the side."""
    ramp = torch.arange(256, dtype=torch.uint8).expand(3, 256, 256)
    torch.manual_seed(0)
    widths = []
    for _ in range(100):
        look = Augmentation(crop=0.5)(ramp)
        assert look.shape == ramp.shape
        assert look.dtype == torch.uint8
        widths.append((int(look.max()) - int(look.min()) + 1) / 256)
    # Of half the area, at an aspect ratio of 3 to 4, the shorter side keeps 0.61.
    assert 0.58 < min(widths) < 0.75
    assert max(widths) > 0.9


def test_views_are_the_picture_its_mirror_image_and_crops() -> None:
    augmentation = Augmentation(flips=True, crop=0.5)
    views = [augmentation.view(PICTURE, "a.jpg", number) for number in range(4)]
    assert torch.equal(views[0], PICTURE)
    assert torch.equal(views[1], PICTURE.flip(-1))
    assert not torch.equal(views[2], views[3])
    unmirrored = Augmentation(crop=0.5).view(PICTURE, "a.jpg", 1)
    assert not torch.equal(unmirrored, PICTURE)


def test_a_view_is_always_the_same_and_leaves_chance_alone() -> None:
    augmentation = Augmentation(flips=True, crop=0.5)
    torch.manual_seed(1)
    expected = torch.rand(2)
    torch.manual_seed(1)
    first = augmentation.view(PICTURE, "a.jpg", 2)
    assert torch.equal(torch.rand(2), expected)
    assert torch.equal(first, augmentation.view(PICTURE, "a.jpg", 2))
    assert not torch.equal(first, augmentation.view(PICTURE, "b.jpg", 2))
