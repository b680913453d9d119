"""Losses, scheduled sampling and sampled sentences."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor, nn

from handler.text import EOS, PAD, SOS, UNK
from tests.training.tiny import DECODER_NAMES, random_pictures, tiny_captioner
from training.data.batches import Batch
from training.model.captioner import Captioner
from training.trainer import epochs, optimisation
from training.trainer.epochs import (
    _mix_own_words,
    cross_entropy,
    features_of,
    sample,
    sentence_log_probs,
    shift_right,
    validation_loss,
)
from training.trainer.optimisation import (
    TrainingError,
    autocast_for,
    build_optimisation,
    check_finite,
    cpu_gains_from_bfloat16,
    learning_rate,
)


@pytest.fixture(params=DECODER_NAMES)
def captioner(request: pytest.FixtureRequest) -> Captioner:
    return tiny_captioner(request.param)


@pytest.fixture
def features(captioner: Captioner) -> Tensor:
    with torch.no_grad():
        return captioner.encoder(random_pictures(3))


CAPTIONS = torch.tensor(
    [
        [[5, 6, 7, EOS], [8, EOS, PAD, PAD]],
        [[9, 5, EOS, PAD], [PAD, PAD, PAD, PAD]],
        [[6, 6, 6, 6], [7, 8, 9, EOS]],  # the first was cut
    ]
)


@torch.no_grad()
def test_the_loss_is_the_mean_over_words_without_padding(
    captioner: Captioner, features: Tensor
) -> None:
    decoder = captioner.decoder
    logits = decoder.logits(decoder(features, shift_right(CAPTIONS)))
    taken = -logits.log_softmax(-1).gather(-1, CAPTIONS.unsqueeze(-1)).squeeze(-1)
    expected = taken[CAPTIONS != PAD].mean()
    assert torch.allclose(cross_entropy(decoder, features, CAPTIONS), expected, atol=1e-5)
    longer = nn.functional.pad(CAPTIONS, (0, 3), value=PAD)
    assert torch.allclose(cross_entropy(decoder, features, longer), expected, atol=1e-5)
    smoothed = cross_entropy(decoder, features, CAPTIONS, label_smoothing=0.1)
    flat = -logits.log_softmax(-1).mean(-1)[CAPTIONS != PAD].mean()
    assert torch.allclose(smoothed, 0.9 * expected + 0.1 * flat, atol=1e-5)


@torch.no_grad()
def test_validation_weighs_words_not_batches(captioner: Captioner) -> None:
    pictures = random_pictures(3)
    whole = [Batch(pictures, CAPTIONS, torch.arange(3))]
    parts = [Batch(pictures[i : i + 1], CAPTIONS[i : i + 1], torch.tensor([i])) for i in range(3)]
    device = torch.device("cpu")
    captioner.train()
    expected = validation_loss(captioner, whole, device)
    assert validation_loss(captioner, parts, device) == pytest.approx(expected, abs=1e-5)
    assert not captioner.decoder.training


def test_the_word_before_is_the_input_and_no_words_are_lost_from_gradients(
    captioner: Captioner, features: Tensor
) -> None:
    cross_entropy(captioner.decoder, features, CAPTIONS).backward()
    rows = captioner.decoder.embedding.weight.grad
    assert rows is not None
    if captioner.decoder.__class__.__name__ == "LSTMDecoder":  # embeddings are inputs alone
        used = set(rows.abs().sum(1).nonzero().flatten().tolist())
        assert used == {SOS, 5, 6, 7, 8, 9}


@torch.no_grad()
def test_scheduled_sampling_replaces_a_share_of_the_words(
    captioner: Captioner, features: Tensor
) -> None:
    inputs = shift_right(torch.full((3, 200, 12), 7))
    inputs[:, :, 9:] = PAD
    torch.manual_seed(0)
    mixed = _mix_own_words(captioner.decoder, features, inputs, 0.25)
    assert (mixed[:, :, 0] == SOS).all()
    assert (mixed[:, :, 9:] == PAD).all()
    words = mixed[:, :, 1:9]
    stayed = float((words == 7).float().mean())
    everything = _mix_own_words(captioner.decoder, features, inputs, 1.0)[:, :, 1:9]
    own_sevens = float((everything == 7).float().mean())
    assert own_sevens < 0.9
    assert stayed == pytest.approx(0.75 + 0.25 * own_sevens, abs=0.03)


@torch.no_grad()
def test_scheduled_sampling_puts_a_word_where_it_was_drawn(
    captioner: Captioner, features: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The word drawn for place t is the input of place t + 1."""
    inputs = shift_right(torch.randint(4, 12, (3, 2, 6)))
    logits = captioner.decoder.logits(captioner.decoder(features, inputs))
    monkeypatch.setattr(epochs, "_draw", lambda probabilities: probabilities.argmax(-1))
    mixed = _mix_own_words(captioner.decoder, features, inputs, 1.0)
    assert torch.equal(mixed[:, :, 1:], logits.argmax(-1)[:, :, :-1])


def test_a_word_is_drawn_as_often_as_it_is_probable() -> None:
    torch.manual_seed(0)
    weights = torch.tensor([0.0, 3.0, 0.0, 1.0, 0.0])  # that need not sum to 1
    drawn = epochs._draw(weights.expand(40, 1000, 5))
    assert drawn.shape == (40, 1000)
    shares = drawn.flatten().bincount(minlength=5) / drawn.numel()
    assert torch.allclose(shares, torch.tensor([0.0, 0.75, 0.0, 0.25, 0.0]), atol=0.02)
    assert shares[[0, 2, 4]].sum() == 0


@pytest.mark.parametrize(("random", "word"), [(0.0, 1), (1.0, 3)])
def test_what_cannot_come_is_not_drawn_at_the_ends_of_chance(
    monkeypatch: pytest.MonkeyPatch, random: float, word: int
) -> None:
    monkeypatch.setattr(torch, "rand_like", lambda like: torch.full_like(like, random))
    assert epochs._draw(torch.tensor([[0.0, 3.0, 0.0, 1.0, 0.0]])).item() == word


@torch.no_grad()
def test_words_are_not_drawn_from_what_is_no_probability(captioner: Captioner) -> None:
    broken = torch.full((1, 4, captioner.encoder.channels), float("nan"))
    with pytest.raises(TrainingError, match="The probability of a word became nan"):
        _mix_own_words(captioner.decoder, broken, CAPTIONS[:1], 0.5)
    with pytest.raises(TrainingError, match="The probability of a word became nan"):
        sample(captioner, broken, 2, 3)


@torch.no_grad()
def test_samples_are_whole_sentences(captioner: Captioner, features: Tensor) -> None:
    torch.manual_seed(0)
    drawn = sample(captioner, features, 40, 6)
    assert drawn.shape == (3, 40, 7)
    for row in drawn.flatten(0, 1).tolist():
        words = row[: row.index(EOS)]
        assert words
        assert min(words) > UNK
        assert set(row[len(words) + 1 :]) <= {PAD}


@torch.no_grad()
def test_samples_come_as_often_as_their_probability_says(
    captioner: Captioner, features: Tensor
) -> None:
    torch.manual_seed(0)
    drawn = sample(captioner, features, 4000, 6)[:, :, 0]
    memory, state = captioner.decoder.start(features, 1)
    logits, _, _ = captioner.decoder.step(torch.full((3, 1), SOS), memory, state)
    logits[..., [PAD, SOS, UNK, EOS]] = -torch.inf
    expected = logits.softmax(-1)[:, 0]
    found = torch.stack([(drawn == word).float().mean(1) for word in range(12)], 1)
    assert torch.allclose(found, expected, atol=0.04)


def test_sentence_scores_can_be_learnt_from(captioner: Captioner, features: Tensor) -> None:
    drawn = torch.cat([CAPTIONS, torch.full((3, 2, 2), PAD)], -1)
    scores = sentence_log_probs(captioner, features, drawn)
    logits = captioner.decoder.logits(captioner.decoder(features, shift_right(drawn)))
    logits = logits + captioner.forbidden
    logits[:, :, 0, EOS] = -torch.inf  # no sentence is empty
    taken = logits.log_softmax(-1).gather(-1, drawn.unsqueeze(-1)).squeeze(-1)
    assert torch.allclose(scores, taken.masked_fill(drawn == PAD, 0).sum(-1), atol=1e-5)
    scores.sum().backward()
    assert captioner.decoder.embedding.weight.grad is not None


def test_features_pass_and_pictures_are_encoded(captioner: Captioner, features: Tensor) -> None:
    assert torch.equal(features_of(captioner, features.half()), features.half().float())
    assert torch.equal(features_of(captioner, random_pictures(3)), features)


def test_the_learning_rate_rises_and_falls() -> None:
    rates = [learning_rate(step, total=100, constant=False) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[10] == max(rates) == 1.0
    assert all(a < b for a, b in itertools.pairwise(rates[:10]))
    assert all(a > b for a, b in itertools.pairwise(rates[10:]))
    assert 0 < rates[-1] < 0.001
    assert {learning_rate(step, total=100, constant=True) for step in (0, 50, 99)} == {1.0}
    assert learning_rate(0, total=1, constant=False) == 1.0


def optimise(model: nn.Module, **options: object) -> object:
    plain = {"steps": 10, "constant": True, "weight_decay": 0.0, "clip": 0.0, "ema": 0.0}
    return build_optimisation(
        model,
        [(model.parameters(), 0.1)],
        precision="float32",
        device=torch.device("cpu"),
        **{**plain, **options},  # type: ignore[arg-type]
    )


def test_gradients_are_clipped() -> None:
    model = nn.Linear(2, 1)
    step = optimise(model, clip=0.5)
    step.step(1000 * model(torch.ones(1, 2)).sum(), model)  # type: ignore[attr-defined]
    norm = math.sqrt(sum(float(p.grad.square().sum()) for p in model.parameters()))
    assert norm == pytest.approx(0.5, abs=1e-4)


def test_the_average_follows_the_weights() -> None:
    model = nn.Linear(1, 1, bias=False)
    step = optimise(model, ema=0.5)
    seen = []
    for _ in range(4):
        step.step(model(torch.ones(1, 1)).sum(), model)  # type: ignore[attr-defined]
        seen.append(float(model.weight.detach()))
    expected = seen[0]
    for updates, value in enumerate(seen[1:], start=1):
        decay = min(0.5, (1 + updates) / (10 + updates))
        expected = decay * expected + (1 - decay) * value
    averaged = float(step.average.module.weight.detach())  # type: ignore[attr-defined]
    assert averaged == pytest.approx(expected, abs=1e-6)
    assert seen[-1] < averaged < seen[0]


def test_frozen_weights_are_not_optimised() -> None:
    model = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1))
    model[0].requires_grad_(False)
    step = optimise(model)
    (group,) = step.optimizer.param_groups  # type: ignore[attr-defined]
    assert [id(p) for p in group["params"]] == [id(p) for p in model[1].parameters()]


@pytest.mark.parametrize(("precision", "dtype"), [("float32", "float32"), ("bfloat16", "bfloat16")])
def test_precision(precision: str, dtype: str) -> None:
    with autocast_for(precision, torch.device("cpu"))():
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == getattr(torch, dtype)


@pytest.mark.parametrize(
    ("abilities", "half", "gains"),
    [
        ({"avx512_bf16": True}, 0.5, True),
        ({"amx_bf16": True}, 0.5, True),
        ({"avx512_bf16": True}, 0.95, False),  # no clear gain
        ({"avx512_bf16": True}, 1.7, False),  # an Intel Xeon whose AMX is hidden
        ({"avx2": True}, 0.5, False),  # without the instructions it is not even tried
    ],
)
def test_automatic_precision_is_the_faster_one(
    abilities: dict[str, bool], half: float, gains: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: abilities)
    monkeypatch.setattr(
        optimisation, "_seconds", lambda rows, _: half if rows.dtype == torch.bfloat16 else 1.0
    )
    monkeypatch.setattr(
        optimisation, "cpu_gains_from_bfloat16", cpu_gains_from_bfloat16.__wrapped__
    )
    with autocast_for("auto", torch.device("cpu"))():
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == (torch.bfloat16 if gains else torch.float32)


def test_a_processor_is_tried_once() -> None:
    cpu_gains_from_bfloat16.cache_clear()
    assert cpu_gains_from_bfloat16() == cpu_gains_from_bfloat16()
    assert cpu_gains_from_bfloat16.cache_info().misses == 1


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_is_named(value: float) -> None:
    check_finite("loss", 0.0)
    with pytest.raises(TrainingError, match=f"The loss became {value}. Resume from the last"):
        check_finite("loss", value)
