"""Fitting the confidence: on numbers whose truth is known, and on drawn pictures."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from handler.engines import Search
from handler.text import SPECIALS
from tests.training.drawn import DEV, TEST, write_captions
from training import calibrate
from training.model.confidence import SIGNS
from training.packaging import calibration
from training.packaging.calibration import UNKNOWN, best_threshold, fit_photo, fit_words
from training.packaging.drawings import KINDS, outliers
from training.packaging.inference import caption_pictures, load_model
from training.trainer import checkpoint


def synthetic(count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Signs of captions, and the shares of four words that the first one's slope of 5 and the
    last one's of -2 make true."""
    generator = torch.Generator().manual_seed(seed)
    signs = torch.rand(count, SIGNS, generator=generator)
    signs[:, 1:-1] = 0
    truth = (5 * signs[:, 0] - 2 * signs[:, -1] - 2).sigmoid()
    hits = torch.rand(count, 4, generator=generator) < truth.unsqueeze(1)
    return signs, hits.float().mean(1)


def slopes(words: Tensor) -> list[float]:
    """The intercept and the slopes of the signs that vary."""
    return [words[0].item(), words[1].item(), words[-1].item()]


def test_the_words_fit_finds_the_truth() -> None:
    signs, shares = synthetic(8000)
    words = fit_words(signs, torch.ones(8000), shares, torch.ones_like(shares))
    assert slopes(words) == pytest.approx([-2, 5, -2], abs=0.2)


def test_the_words_fit_knows_of_the_factor() -> None:
    signs, shares = synthetic(8000)
    photo = torch.rand(8000, generator=torch.Generator().manual_seed(1))
    words = fit_words(signs, photo, shares * photo, torch.ones_like(shares))
    assert slopes(words) == pytest.approx([-2, 5, -2], abs=0.2)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("count", [1, 4, 100])
def test_a_few_pictures_that_agree_prove_little(share: float, count: int) -> None:
    signs, shares = torch.full((count, SIGNS), 0.9), torch.full((count,), share)
    words = fit_words(signs, torch.ones(count), shares, torch.ones_like(shares))
    confidence = (words[0] + 0.9 * words[1:].sum()).sigmoid()
    assert float(confidence) == pytest.approx((share * count + 0.5) / (count + 1), abs=0.01)
    assert ((words[1:].abs() > 0) & (words[1:].abs() < 100)).all()


def test_surer_words_never_make_it_less_sure() -> None:
    signs, shares = synthetic(500)
    words = fit_words(signs, torch.ones(500), 1 - shares, torch.ones_like(shares))
    assert 0 < words[1] < 0.2
    assert -0.2 < words[-1] < 0


def test_the_threshold_parts_good_captions_from_others() -> None:
    confidence = torch.tensor([0.1, 0.8, 0.3, 0.6, 0.2, 0.9])
    good = torch.tensor([False, True, False, True, False, True])
    assert 0.3 <= best_threshold(confidence, good) <= 0.6
    assert best_threshold(confidence, torch.ones(6).bool()) == 0
    assert best_threshold(confidence, torch.zeros(6).bool()) == 1


def test_the_photo_fit_finds_the_direction() -> None:
    generator = torch.Generator().manual_seed(0)
    direction = torch.tensor([3.0, 0, 0, -4, 0, 0]).double()
    photos = torch.randn(400, 6, generator=generator).double() + direction
    drawn = torch.randn(100, 6, generator=generator).double()  # fewer, and of equal weight
    for scale in (1e-3, 1.0, 1e3):
        weights = fit_photo(scale * photos, scale * drawn)
        cosine = torch.cosine_similarity(weights, direction, dim=0)
        assert float(cosine) > 0.97
        assert (scale * photos @ weights).min() > (scale * drawn @ weights).max() - 1


def test_the_photo_fit_bears_channels_that_are_dead() -> None:
    photos, drawn = torch.ones(5, 3).double(), torch.ones(5, 3).double()
    photos[:, 0] = torch.arange(5)
    assert torch.isfinite(fit_photo(photos, drawn)).all()
    assert torch.isfinite(fit_photo(torch.ones(5, 3).double(), drawn)).all()


def test_drawings_are_of_every_kind_and_always_the_same() -> None:
    count = 3 * len(KINDS)
    first, again, other = (torch.stack(list(outliers(count, 32, seed))) for seed in (0, 0, 1))
    assert first.shape == (count, 3, 32, 32)
    assert first.dtype == torch.uint8
    assert torch.equal(first, again)
    assert not any(torch.equal(a, b) for a, b in zip(first, other, strict=True))
    assert len(first.flatten(1).unique(dim=0)) == count
    assert not first[0].float().std(dim=(1, 2)).any()  # one colour


def test_a_checkpoint_is_calibrated(run: Path, calibrated: Path) -> None:
    trained = checkpoint.load(calibrated)
    fitted = trained.captioner.calibration
    assert float(fitted.fitted) == 1
    itos = trained.vocabulary.itos
    content = {word for word, is_content in zip(itos, fitted.content, strict=True) if is_content}
    assert content == set(itos) - {*SPECIALS, "a", "an", "on"}
    assert fitted.words[1] > 0
    for values in fitted.state_dict().values():
        assert torch.equal(values, values.half().float())
    before, after = checkpoint.read(run / "best.pt"), checkpoint.read(calibrated)
    assert set(before) == set(after)
    assert before["config"] == after["config"]
    changed = ("calibration.", "rules.worth")
    for name, value in before["model"].items():
        assert name.startswith(changed) or torch.equal(value, after["model"][name])
    report = after["training"].pop("calibration")
    assert before["training"] == after["training"]
    assert set(report) == {
        "meaning",
        "error_cross_fitted",
        "words_confirmed",
        "trust",
        "pictures",
    }
    assert report["trust"]["check"] == UNKNOWN <= report["trust"]["right"] < 1
    assert "at least one of 2 people" in report["meaning"]
    assert report["pictures"] == len(DEV)
    assert report["words_confirmed"] > 0.9
    assert 0 <= report["error_cross_fitted"] < 0.2


def test_calibrating_again_gives_the_same(
    calibrated: Path, drawn_data: Path, tmp_path: Path
) -> None:
    again = shutil.copy(calibrated, tmp_path / "best.pt")
    assert calibrate.main(["--data", str(drawn_data), "--checkpoint", str(again)]) == 0
    first, second = checkpoint.read(calibrated), checkpoint.read(again)
    assert first["training"] == second["training"]
    assert all(torch.equal(first["model"][k], second["model"][k]) for k in first["model"])


def test_other_pictures_count_like_those_of_the_dev_split(
    calibrated: Path, drawn_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibration, "DRAWINGS", 32)  # which take their time
    wrong = [(drawing.name, "nothing of the kind") for drawing in TEST]
    data = write_captions(tmp_path / "others.csv", wrong)
    for drawing in TEST:
        drawing.save(tmp_path)
    path = shutil.copy(calibrated, tmp_path / "best.pt")
    words = ["--data", drawn_data, "--checkpoint", path, "--also", data]
    assert calibrate.main(list(map(str, words))) == 0
    before, after = (checkpoint.read(p)["training"]["calibration"] for p in (calibrated, path))
    assert after["pictures"] == len(DEV) + len(TEST)
    share = before["words_confirmed"] * len(DEV) / after["pictures"]
    assert after["words_confirmed"] == pytest.approx(share, abs=1e-3)


def test_what_is_taught_is_surer_than_what_is_not(
    exported: Path, pictures: list[Path], tmp_path: Path
) -> None:
    unlike = [1, 2, 6]  # noise, gradients and pages: nothing like a coloured shape on white
    others = []
    for number, pixels in enumerate(outliers(20, 64, seed=7)):
        if number % len(KINDS) in unlike:
            others.append(tmp_path / f"{number}.png")
            Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(others[-1])
    model, search = load_model(exported), Search(3, 20, 1)
    taught, foreign = (
        [result.captions[0].confidence for result in caption_pictures(paths, model, search)]
        for paths in (pictures, others)
    )
    assert min(taught) > 0.6
    assert max(foreign) < 0.5 * min(taught)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--checkpoint", "nothing.pt"], "error: There is no checkpoint nothing.pt"),
        (["--data", "nowhere"], "error: There is no file or folder nowhere."),
        (["--device", "tpu9"], "error: --device must be cpu, cuda or cuda:N, but is 'tpu9'."),
        (["--data", "unreadable"], "error: Calibration needs readable pictures in the train and"),
    ],
)
def test_what_cannot_be_calibrated_is_one_line(
    run: Path,
    drawn_data: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    path = shutil.copy(run / "best.pt", tmp_path / "best.pt")
    (tmp_path / "unreadable").mkdir()
    (tmp_path / "unreadable" / "Images").mkdir()
    (tmp_path / "unreadable" / "Images" / "a.png").write_text("no picture")
    write_captions(tmp_path / "unreadable" / "captions.txt", [("a.png", "a dog")])
    before = path.read_bytes()
    assert calibrate.main(["--data", str(drawn_data), "--checkpoint", str(path), *words]) == 1
    assert caplog.messages[-1].startswith(said)
    assert path.read_bytes() == before


def test_a_checkpoint_from_before_is_not_calibrated(run: Path, tmp_path: Path) -> None:
    content = checkpoint.read(run / "best.pt")
    for name in [name for name in content["model"] if name.startswith("calibration.")]:
        del content["model"][name]
    torch.save(content, tmp_path / "old.pt")
    assert float(checkpoint.load(tmp_path / "old.pt").captioner.calibration.fitted) == 0
