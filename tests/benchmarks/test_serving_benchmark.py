"""The serving benchmark: the real service under a little load, and the report's arithmetic."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PIL import Image

from benchmarks import report, services
from benchmarks.pictures import draw_pictures
from benchmarks.services import BenchmarkError, captionize, multipart


def test_a_ratio_is_of_one_round_and_meets_by_its_median() -> None:
    line = report.Comparison("a", "b", report.times("a", "b"), 2.0)
    measured = {"a": [2.0, 9.0, 6.0], "b": [1.0, 3.0, 4.0]}
    assert line.row(measured) == ["a", "b", "2.00 (1.50 to 3.00)", "at least 2", "met"]
    slower = report.Comparison("a", "b", report.times("a", "b"), 1.9, at_most=True)
    assert slower.row(measured)[3:] == ["at most 1.9", "**not met**"]


def test_every_line_has_its_numbers() -> None:
    names = {"start: seconds", "worker: MiB", "page", "page, one client: p50 in ms"}
    asked: set[str] = set()

    class Recorder(dict[str, list[float]]):
        def __missing__(self, name: str) -> list[float]:
            asked.add(name)
            return [1.0]

    measured = Recorder()
    curves = [report.Curve("clients", ("captions/s", "p50, ms"), {1: (30.0, 31.0), 8: (50, 150)})]
    lines = report.report(measured, curves, 1).splitlines()
    assert len(lines) > len(report.COMPARISONS)
    assert lines[-1] == "| 8 | 50 | 150 |"
    assert names <= asked


@pytest.mark.skipif(not shutil.which("wrk"), reason="wrk, which sends the load, is not installed")
def test_the_service_is_measured(tmp_path: Path) -> None:
    pictures = draw_pictures(tmp_path / "pictures", 3, (64, 48))
    with captionize() as service:
        load = service.inference.load(2, 2, pictures)
        page, forms = multipart(service.page, pictures, tmp_path)
        form = page.load(2, 2, forms)
        wrong = service.inference.load(2, 1, [Path(__file__)])
        assert 100 < service.worker_mib() < 5000
    for one in (load, form):
        assert one.requests > 0
        assert one.refused == one.failed == 0
        assert one.rate > 0
        assert 0 < one.p50_ms <= one.p99_ms
    assert wrong.refused == wrong.requests > 0
    assert wrong.rate == 0


def test_without_wrk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services.shutil, "which", lambda name: None)
    target = services.Target("http://127.0.0.1:1", "/", {})
    with pytest.raises(BenchmarkError, match="sudo apt install wrk"):
        target.load(1, 1, [])


def test_the_chart_is_a_picture(tmp_path: Path) -> None:
    curves = [report.Curve("clients", ("captions/s", "p50, ms"), {1: (30.0, 31.0), 8: (50, 150)})]
    report.draw_chart({"REST": [50.0], "LitServe": [45.0]}, curves, tmp_path / "chart.png")
    with Image.open(tmp_path / "chart.png") as chart:
        assert chart.size > (1000, 400)
