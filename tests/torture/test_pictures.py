"""What the torture sends: sound where it says so, and the same for a seed."""

from __future__ import annotations

import random

import pytest

from handler.decode import ACCEPTED, decode
from handler.errors import PictureError
from tests.torture.files import FORMS, join, split
from tests.torture.pictures import draw, mutate
from webui.docs import specification


def test_every_format_is_there_and_in_the_specification() -> None:
    image = specification.specification()["components"]["schemas"]["Image"]
    assert {*FORMS} == {*ACCEPTED} <= {*image["properties"]["format"]["enum"]}


@pytest.mark.parametrize("kind", FORMS)
def test_a_sound_picture_is_one_and_its_pieces_make_it_again(kind: str) -> None:
    for seed in range(8):
        picture = draw(random.Random(seed), kind)
        assert join(kind, split(kind, picture.data)) == picture.data
    decoded = decode(picture.data, 8)
    assert (decoded.format, (decoded.width, decoded.height)) == (kind, picture.size)


def test_a_mutated_picture_is_the_same_for_its_seed_and_mostly_damaged() -> None:
    damaged = 0
    for seed in range(20):
        picture = mutate(random.Random(seed))
        assert picture == mutate(random.Random(seed))
        try:
            decode(picture.data, 8)
        except PictureError:
            damaged += 1
    assert damaged > 10
