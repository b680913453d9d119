"""Starting from trained weights, with more words than they knew."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.shipped import ARCHIVE
from tests.training.tiny import DECODER_NAMES, OPTIONS, random_pictures, tiny_captioner
from tests.training.trainer.runs import SMALL
from training import train
from training.common.model_files import ModelError
from training.data.splits import DataError, Example
from training.model.captioner import Captioner
from training.model.decoders import build_decoder
from training.trainer.config import PRESETS, TrainConfig
from training.trainer.preparing import find_words
from training.trainer.start import ARCHITECTURE, Start, initialise_from, read_start

WORDS = [f"w{number}" for number in range(12)]


def grown(captioner: Captioner, decoder: str, more: int) -> Captioner:
    """An untrained captioner like ``captioner``, of ``more`` words more."""
    size = captioner.vocab_size + more
    speaker = build_decoder(decoder, size, captioner.encoder.channels, **OPTIONS[decoder])
    encoder, tags = tiny_captioner(decoder).encoder, captioner.tagger.count
    return Captioner(encoder, speaker, length_penalty=0.7, tags=tags).eval()


@pytest.mark.parametrize("decoder", DECODER_NAMES)
@torch.no_grad()
def test_known_words_keep_their_scores_among_more_words(decoder: str) -> None:
    trained = tiny_captioner(decoder, seed=3)
    larger = grown(trained, decoder, 5)
    initialise_from(
        larger, Start("a.mar", trained.state_dict(), WORDS, {"tags": trained.tagger.count})
    )
    features = trained.encoder(random_pictures(3))
    assert torch.equal(larger.encoder(random_pictures(3)), features)
    tokens, tags = torch.randint(4, 12, (3, 2, 5)), trained.see(features)
    expected = trained.decoder.logits(trained.decoder(features, tags, tokens))
    found = larger.decoder.logits(larger.decoder(features, tags, tokens))
    torch.testing.assert_close(found[..., :12], expected, rtol=1e-4, atol=1e-4)
    assert found.shape[-1] == 17
    assert (found[..., 12:] < expected.amax(-1, keepdim=True)).float().mean() > 0.5


def test_the_shipped_archive_can_be_started_from() -> None:
    start = read_start(ARCHIVE)
    assert start.name == "captioner.mar"
    assert start.architecture.keys() == {*ARCHITECTURE, "tags"}
    assert start.itos[:4] == ["<PAD>", "<SOS>", "<EOS>", "<UNK>"]
    assert start.weights["decoder.embedding.weight"].shape[0] == len(start.itos)
    assert all(weights.dtype != torch.float16 for weights in start.weights.values())


def test_what_cannot_be_started_from_is_named(tmp_path: Path, exported: Path) -> None:
    (tmp_path / "a.mar").write_bytes(b"no zip")
    for path in (tmp_path / "a.mar", exported):
        with pytest.raises(ModelError, match=path.name):
            read_start(path)


def test_the_architecture_is_that_of_the_start(
    drawn_data: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--data", str(drawn_data), "--init", str(run / "best.pt"), "--hidden-size", "32"]
    with pytest.raises(SystemExit):
        train.main(words)
    said = " ".join(capsys.readouterr().err.split())
    assert "--hidden-size is 64" in said


def test_a_preset_of_another_architecture_is_an_error(
    drawn_data: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        train.main(
            ["--data", str(drawn_data), "--init", str(run / "best.pt"), "--preset", "original"]
        )
    assert "cannot be inception_v3" in capsys.readouterr().err


def test_the_preset_for_own_pictures_has_no_architecture() -> None:
    assert not PRESETS["adapt"].keys() & {*ARCHITECTURE, "tags"}


def test_captions_of_unknown_words_are_refused_or_warned_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    config = TrainConfig(**{**SMALL, "freq_threshold": 2})
    known = [Example(Path("a"), ("one two three four five six seven eight",) * 2, "a")]
    foreign = [
        Example(Path(name), (f"\u4e00\u53ea{name}\u72d7",), name) for name in map(str, range(17))
    ]
    find_words(config, known, (), None)
    assert caplog.records == []
    find_words(config, known + foreign[:8], (), None)
    assert "33% of the words in the training captions are unknown" in caplog.text
    with pytest.raises(DataError, match="no spaces between words"):
        find_words(config, known + foreign, (), None)
