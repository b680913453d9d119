"""The peer that needs no package of its own; the others are tried by the benchmark itself."""

from __future__ import annotations

import io

import pytest
import skimage.data
from PIL import Image

from benchmarks.peers.models import exported
from benchmarks.peers.original import create_app
from handler.decode import decode
from handler.engines import Search
from handler.text import EOS, PAD, detokenise


def jpeg() -> bytes:
    file = io.BytesIO()
    Image.fromarray(skimage.data.coffee()).save(file, "JPEG")
    return file.getvalue()


@pytest.mark.parametrize("reload", [False, True])
def test_the_original_shape_says_what_ours_says(reload: bool) -> None:
    answer = create_app(reload=reload).test_client().post("/caption", data=jpeg())
    ours = exported()
    pixels = decode(jpeg(), ours.image_size).pixels.unsqueeze(0)
    best = ours(pixels, Search(3, 20, 1)).tokens[0, 0].tolist()
    words = [ours.vocabulary[token] for token in best if token not in (PAD, EOS)]
    assert answer.get_json() == {"caption": detokenise(words)}
