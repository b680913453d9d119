"""Exporting: every form of a captioner gives the same, or nothing is written."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.training.tiny import DECODER_NAMES, random_pictures, ruled, tiny_captioner
from training.model.captioner import Captioner
from training.packaging.exporting import ExportError, check_parity, export, load_exported

each_decoder = pytest.mark.parametrize("name", DECODER_NAMES)


@each_decoder
def test_all_forms_say_the_same(name: str, tmp_path: Path) -> None:
    path = tmp_path / "new" / "captioner.pt"
    captioner = ruled(tiny_captioner(name))
    reloaded = export(captioner, path, onnx=False)
    assert [file.name for file in path.parent.iterdir()] == ["captioner.pt"]
    attributes = (reloaded.image_size, reloaded.grid_rows, reloaded.grid_columns)
    assert attributes == (32, 2, 2)
    assert reloaded.vocab_size == 12
    frozen = torch.jit.freeze(load_exported(path))
    for module in (reloaded, frozen, load_exported(path)):
        for batch, beam, length in ((1, 1, 5), (2, 8, 3), (5, 3, 20), (7, 4, 50)):
            pictures = random_pictures(batch, seed=batch)
            with torch.inference_mode():
                expected = captioner(pictures, beam, length, True)
                found = module(pictures, beam, length, True)
            assert torch.equal(expected[0], found[0])
            for ours, theirs in zip(expected[1:], found[1:], strict=True):
                assert torch.allclose(ours, theirs, atol=3e-4)


@torch.no_grad()
@pytest.mark.parametrize("table", ["again", "soon", "unclosed", "heads", "worth"])
def test_each_table_changes_what_is_said(table: str) -> None:
    """What the forms agree on above is more than they would say without."""
    pictures = random_pictures(40)
    full, without = ruled(tiny_captioner("attention")), ruled(tiny_captioner("attention"))
    without.rules.get_buffer(table).zero_()
    said, other = (captioner(pictures, 3, 12, False)[0] for captioner in (full, without))
    assert not torch.equal(said, other)


@each_decoder
def test_weights_are_stored_in_half_precision(name: str, tmp_path: Path) -> None:
    export(tiny_captioner(name), tmp_path / "captioner.pt", onnx=False)
    stored = torch.jit.load(str(tmp_path / "captioner.pt")).state_dict()
    assert {value.dtype for value in stored.values() if value.is_floating_point()} == {
        torch.float16
    }


def misbehaving(name: str, flip: bool) -> Captioner:
    """A captioner whose decoder answers otherwise once it is compiled."""
    captioner = tiny_captioner(name)
    decoder = captioner.decoder

    class Misbehaving(type(decoder)):  # type: ignore[misc]
        def step(
            self, tokens: Tensor, memory: list[Tensor], state: list[Tensor]
        ) -> tuple[Tensor, list[Tensor], Tensor]:
            logits, state, attention = self.plain_step(tokens, memory, state)
            if torch.jit.is_scripting():
                logits = logits.flip(-1) if self.flip else 1.01 * logits
            return logits, state, attention

    Misbehaving.plain_step = type(decoder).step
    decoder.__class__ = Misbehaving
    decoder.flip = flip
    return captioner


@each_decoder
@pytest.mark.parametrize(
    ("flip", "said"),
    [(True, "scripted captioner finds other words"), (False, "scripted captioner's scores differ")],
)
def test_a_module_that_misbehaves_is_not_written(
    name: str, flip: bool, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "captioner.pt"
    path.write_text("the module of yesterday")
    with pytest.raises(ExportError, match=said):
        export(misbehaving(name, flip), path, onnx=False)
    assert [file.name for file in tmp_path.iterdir()] == ["captioner.pt"]
    assert path.read_text() == "the module of yesterday"


@pytest.mark.parametrize(
    ("name", "output"),
    [*itertools.product(DECODER_NAMES, range(4)), ("attention", 4), ("attention", 5)],
)
@pytest.mark.parametrize("batch", [1, 2, 5])
def test_every_output_of_every_batch_size_is_compared(name: str, output: int, batch: int) -> None:
    captioner = tiny_captioner(name)
    reference = tiny_captioner(name)

    class Wrong(torch.nn.Module):
        def forward(self, images: Tensor, *options: int) -> tuple[Tensor, ...]:
            found = [value.clone() for value in reference(images, *options)]
            if len(images) == batch:
                wrong = found[output]
                wrong.view(-1)[-1] += 1 if output in (0, 4) else float("nan")
            return tuple(found)

    check_parity(captioner, {"same": reference})
    with pytest.raises(ExportError, match=f"wrong captioner.*batch of {batch}"):
        check_parity(captioner, {"wrong": Wrong()})
