"""Graphs whose encoder computes with integers: the same weights, and nearly the same captions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import onnx
import pytest
import torch
from torch import Tensor

from handler.engines import (
    INT8,
    INTEGER_GRAPH,
    Beams,
    Exported,
    OnnxEngine,
    Search,
    load_engine,
    read_module,
)
from tests.training.drawn import SHOWN
from training import archive
from training.data.store import read_picture
from training.packaging import exporting
from training.packaging.inference import load_model
from training.packaging.integer_graph import SPARED, Measured, measure, measured_of, quantise
from training.packaging.integer_products import GRID, loop_of
from training.packaging.onnx_graph import Graph

CPU = torch.device("cpu")
SEARCH = Search(beam_size=3, max_length=8, num_captions=1)


@pytest.fixture(scope="module")
def whole(exported: Path) -> Exported:
    """A captioner of coloured shapes, with the graph of floats."""
    return read_module(exported, CPU)


@pytest.fixture(scope="module")
def shown(drawn_data: Path) -> Tensor:
    """Pictures that it was taught on."""
    paths = sorted((drawn_data / "Images").iterdir())[:32]
    return torch.stack([read_picture(path, 64) for path in paths])


@pytest.fixture(scope="module")
def measured(whole: Exported, shown: Tensor) -> Measured:
    return measure(Graph(whole.graph, whole.weights), whole.script.float(), shown.split(8))


@pytest.fixture(scope="module")
def rounded(whole: Exported, measured: Measured) -> Exported:
    """The same captioner with both graphs."""
    return with_integers(whole, measured)


def with_integers(whole: Exported, measured: Measured) -> Exported:
    made = quantise(Graph(whole.graph, whole.weights), measured)
    return replace(whole, integer_graph=made.onnx, integer_weights=made.weights)


def captions(exported: Exported, precision: str, pictures: Tensor) -> Beams:
    return OnnxEngine(exported, 1, precision)(pictures, SEARCH)


def test_integers_say_nearly_the_same(rounded: Exported, shown: Tensor) -> None:
    floats, integers = (captions(rounded, one, shown) for one in ("float32", "int8"))
    same = (floats.tokens == integers.tokens).all(-1).float().mean()
    assert same > 0.8
    assert (floats.confidence - integers.confidence).abs().mean() < 0.03
    assert not torch.equal(floats.log_probs, integers.log_probs)


def test_all_that_is_measured_counts(whole: Exported, measured: Measured, shown: Tensor) -> None:
    some = shown[:4]
    expected = captions(with_integers(whole, measured), "int8", some)
    for name in [*measured][:: len(measured) // 9]:
        other = {**measured, name: measured[name] // 2 + 1}
        changed = captions(with_integers(whole, other), "int8", some)
        assert not torch.equal(changed.log_probs, expected.log_probs), name


def test_offsets_take_off_what_rounding_adds(
    whole: Exported, measured: Measured, shown: Tensor
) -> None:
    without = {k: 0 * v if k.endswith("/offset") else v for k, v in measured.items()}
    floats = captions(replace(whole, integer_graph=b""), "float32", shown)
    lost = [
        float((captions(made, "int8", shown).confidence - floats.confidence).abs().mean())
        for made in (with_integers(whole, m) for m in (measured, without))
    ]
    assert lost[0] < lost[1]


def test_each_convolution_but_the_first_reads_integers(rounded: Exported) -> None:
    graph = onnx.load_from_string(rounded.integer_graph).graph
    makers = {name: node.op_type for node in graph.node for name in node.output}
    read = [[makers.get(name) for name in n.input] for n in graph.node if n.op_type == "Conv"]
    assert len(read) > 40
    assert all(kinds == ["DequantizeLinear"] * 3 for kinds in read[SPARED:])
    sums = [node for node in graph.node if node.op_type == "Add" and "/rounded" in node.input[1]]
    assert len(sums) == 9  # of EfficientNet-Lite0


def test_each_product_of_a_word_reads_integers(whole: Exported, rounded: Exported) -> None:
    floats, integers = (
        [node.op_type for node in loop_of(onnx.load_from_string(one).graph).attribute[0].g.node]
        for one in (whole.graph, rounded.integer_graph)
    )
    products = [name for name in rounded.integer_weights if name.endswith(INT8)]
    words = [name for name in products if not name.startswith(GRID)]
    assert integers.count("MatMulIntegerToFloat") == len(words) > 3
    assert integers.count("MatMul") == floats.count("MatMul") - len(words)
    assert not {name.removesuffix(INT8) for name in products} & {*rounded.integer_weights}


def test_a_caption_does_not_depend_on_its_batch(rounded: Exported, shown: Tensor) -> None:
    together = captions(rounded, "int8", shown[:6])
    for number in range(6):
        alone = captions(rounded, "int8", shown[number : number + 1])
        assert torch.equal(alone.tokens[0], together.tokens[number])
        assert torch.allclose(alone.log_probs[0], together.log_probs[number], atol=1e-5)


def test_weights_stand_in_neither_graph(rounded: Exported) -> None:
    graph = onnx.load_from_string(rounded.integer_graph).graph
    absent = [one.name for one in graph.initializer if one.data_location == one.EXTERNAL]
    assert sorted(absent) == sorted(rounded.integer_weights)
    assert len(rounded.integer_graph) < 5 * len(rounded.graph)


def test_a_graph_without_convolutions_has_no_integers(whole: Exported) -> None:
    graph = onnx.load_from_string(whole.graph)
    for node in graph.graph.node:
        node.op_type = node.op_type.replace("BatchNormalization", "InstanceNormalization")
    other = Graph(graph.SerializeToString(), whole.weights)
    assert measure(other, whole.script, []) == {}
    assert quantise(other, {}).onnx == b""


@pytest.mark.slow
def test_an_archive_gets_integers_and_keeps_them(
    mar: Path, drawn_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "PHOTOS", 16)
    pictures = ["--pictures", str(drawn_data / "Images")]
    first, second = tmp_path / "first.mar", tmp_path / "second.mar"
    assert archive.main(["--repack", str(mar), "--output", str(first), *pictures]) == 0
    assert archive.main(["--repack", str(first), "--output", str(second)]) == 0
    images = torch.stack([read_picture(one.save(tmp_path), 64) for one in SHOWN[:4]])
    made = [load_model(path, precision="int8")(images, SEARCH) for path in (first, second)]
    for one, other in zip(*made, strict=True):
        assert torch.equal(one, other)


def test_integers_that_cost_too_much_are_left_out(
    whole: Exported,
    measured: Measured,
    shown: Tensor,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    graph, script = Graph(whole.graph, whole.weights), whole.script.float()
    good = exporting.integers_beside(script, graph, shown.split(16))[INTEGER_GRAPH]
    assert measured_of(good).keys() == measured.keys()
    assert quantise(graph, measured_of(good)).onnx == good
    blind = {k: v * 0 + 1e-3 if k.endswith("/scale") else v for k, v in measured.items()}
    monkeypatch.setattr(exporting, "measure", lambda *_: blind)
    assert exporting.integers_beside(script, graph, shown.split(16)) == {}
    assert "left out" in caplog.messages[-1]


def test_the_precision_is_chosen(whole: Exported, rounded: Exported) -> None:
    for precision in ("float32", "int8"):
        engine = load_engine(rounded, "onnxruntime", CPU, precision=precision)
        assert engine.precision == precision
    tried = load_engine(rounded, "auto", CPU)
    assert tried.precision in ("float32", "int8")
    assert "float32 takes" in tried.reason
    assert "int8 takes" in tried.reason
    assert load_engine(whole, "auto", CPU).precision == "float32"
    with pytest.raises(ValueError, match=r"precision is 'int8', but the archive.*--pictures"):
        load_engine(whole, "auto", CPU, precision="int8")
    with pytest.raises(ValueError, match="precision is 'int8', but engine is torchscript"):
        load_engine(rounded, "torchscript", CPU, precision="int8")
