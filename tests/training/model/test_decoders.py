"""Decoders: one step at a time and whole sentences at once must agree."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from handler.text import PAD, SOS
from tests.training.tiny import DECODER_NAMES, OPTIONS
from training.model.decoders import AttentionDecoder, Decoder, LSTMDecoder, build_decoder
from training.model.tagger import Tags
from training.trainer.epochs import shift_right

WORDS, CHANNELS, CELLS = 11, 6, 5
TAGS = Tags(
    torch.tensor([[4, 5], [6, 7], [9, 8]]),
    torch.tensor([[0.9, 0.1], [0.5, 0.2], [0.7, 0]]),
    torch.tensor([0.0, 1.0, 0.5]),
)


@pytest.fixture(params=DECODER_NAMES)
def decoder(request: pytest.FixtureRequest) -> Decoder:
    torch.manual_seed(0)
    built = build_decoder(request.param, WORDS, CHANNELS, **OPTIONS[request.param])
    for parameter in built.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return built.eval()


@pytest.fixture
def features() -> Tensor:
    return torch.randn(3, CELLS, CHANNELS, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def captions() -> Tensor:
    """Three pictures with two captions of seven words each."""
    return torch.randint(4, WORDS, (3, 2, 7), generator=torch.Generator().manual_seed(2))


def stepwise(
    decoder: Decoder, features: Tensor, inputs: Tensor, tags: Tags = TAGS
) -> tuple[Tensor, Tensor]:
    """Log-probabilities [B, C, T, V] and attention [B, C, T, G], a step at a time."""
    memory, state = decoder.start(features, tags, inputs.shape[1])
    log_probs, looked = [], []
    for t in range(inputs.shape[2]):
        logits, state, attention = decoder.step(inputs[:, :, t], memory, state)
        log_probs.append(logits.log_softmax(-1))
        looked.append(attention)
    return torch.stack(log_probs, 2), torch.stack(looked, 2)


@torch.no_grad()
def test_steps_equal_teacher_forcing(decoder: Decoder, features: Tensor, captions: Tensor) -> None:
    inputs = shift_right(captions)
    whole = decoder.logits(decoder(features, TAGS, inputs)).log_softmax(-1)
    steps, _ = stepwise(decoder, features, inputs)
    assert whole.shape == (3, 2, 7, WORDS)
    assert whole.std() > 0.1
    assert torch.allclose(steps, whole, atol=1e-5)


@torch.no_grad()
def test_attention_sums_to_one(decoder: Decoder, features: Tensor, captions: Tensor) -> None:
    _, attention = stepwise(decoder, features, captions)
    assert attention.shape == (3, 2, 7, CELLS)
    assert (attention >= 0).all()
    assert torch.allclose(attention.sum(-1), torch.ones(3, 2, 7))
    uniform = torch.full_like(attention, 1 / CELLS)
    assert torch.allclose(attention, uniform) is isinstance(decoder, LSTMDecoder)


@torch.no_grad()
def test_captions_and_pictures_do_not_mix(
    decoder: Decoder, features: Tensor, captions: Tensor
) -> None:
    together, _ = stepwise(decoder, features, captions)
    for b in range(3):
        for c in range(2):
            own = Tags(*(tensor[b : b + 1] for tensor in TAGS))
            alone, _ = stepwise(decoder, features[b : b + 1], captions[b : b + 1, c : c + 1], own)
            assert torch.allclose(together[b, c], alone[0, 0], atol=1e-5)


@torch.no_grad()
def test_the_future_is_not_seen(decoder: Decoder, features: Tensor, captions: Tensor) -> None:
    before = decoder.logits(decoder(features, TAGS, captions))
    captions[:, :, 4:] = (captions[:, :, 4:] - 3) % WORDS
    after = decoder.logits(decoder(features, TAGS, captions))
    assert torch.allclose(before[:, :, :4], after[:, :, :4], atol=1e-6)
    assert not torch.allclose(before[:, :, 4:], after[:, :, 4:], atol=1e-3)


@torch.no_grad()
def test_the_picture_matters(decoder: Decoder, features: Tensor, captions: Tensor) -> None:
    one = decoder.logits(decoder(features, TAGS, captions))
    other = decoder.logits(decoder(features.flip(0), TAGS, captions))
    assert not torch.allclose(one[0], other[0], atol=1e-2)


@torch.no_grad()
def test_tags_matter_to_a_decoder_that_reads_them(
    decoder: Decoder, features: Tensor, captions: Tensor
) -> None:
    one = decoder(features, TAGS, captions)
    words = decoder(features, TAGS._replace(words=TAGS.words.flip(0)), captions)
    sure = decoder(features, TAGS._replace(probabilities=TAGS.probabilities.flip(1)), captions)
    elsewhere = decoder(features, TAGS._replace(elsewhere=1 - TAGS.elsewhere), captions)
    reads = isinstance(decoder, AttentionDecoder)
    assert torch.allclose(one[0], words[0], atol=1e-2) is not reads
    assert torch.allclose(one[0], sure[0], atol=1e-2) is not reads
    assert torch.allclose(one[0], elsewhere[0], atol=1e-2) is not reads


def test_dropout_acts_in_training_alone(
    decoder: Decoder, features: Tensor, captions: Tensor
) -> None:
    assert torch.equal(decoder(features, TAGS, captions), decoder(features, TAGS, captions))
    decoder.train()
    assert not torch.equal(decoder(features, TAGS, captions), decoder(features, TAGS, captions))


def test_every_weight_learns(decoder: Decoder, features: Tensor, captions: Tensor) -> None:
    decoder.logits(decoder(features, TAGS, captions)).square().sum().backward()
    assert [n for n, p in decoder.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_the_original_decoder_has_its_layers() -> None:
    decoder = build_decoder("lstm", 100, 2048, embed_size=256, hidden_size=256, num_layers=1)
    shapes = {name: tuple(p.shape) for name, p in decoder.named_parameters()}
    assert shapes["picture.weight"] == (256, 2048)
    assert shapes["embedding.weight"] == (100, 256)
    assert shapes["layers.0.weight_hh_l0"] == (4 * 256, 256)
    assert shapes["output.weight"] == (100, 256)
    assert decoder.dropout.p == 0.5


def test_the_attention_decoder_ties_its_embedding() -> None:
    decoder = build_decoder("attention", 100, 8)
    assert isinstance(decoder, AttentionDecoder)
    logits = decoder.logits(decoder.embedding.weight[7])
    assert torch.allclose(logits, decoder.embedding.weight @ decoder.embedding.weight[7])


def test_words_are_shifted_behind_the_start() -> None:
    captions = torch.tensor([[[5, 6, 2, PAD]]])
    assert shift_right(captions).tolist() == [[[SOS, 5, 6, 2]]]


@pytest.mark.parametrize(("name", "options"), [("gru", {}), ("", {})])
def test_an_unknown_decoder(name: str, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"Unknown decoder '{name}'; there are lstm, attention"):
        build_decoder(name, WORDS, CHANNELS, **options)
