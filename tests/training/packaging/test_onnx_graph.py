"""The captioner as an ONNX graph, in ONNX Runtime, against the module that it was made of."""

from __future__ import annotations

import itertools

import onnx
import pytest
import torch

from handler.engines import Exported, OnnxEngine, Search
from tests.training.tiny import DECODER_NAMES, random_pictures, ruled, tiny_captioner
from training.model.captioner import Captioner
from training.packaging.onnx_graph import Graph, build_graph

TOLERANCE = 1e-5  # of scores, float32 against float32
PENALTY = 1.5
Made = tuple[Captioner, Graph]


@pytest.fixture(scope="module", params=DECODER_NAMES)
def made(request: pytest.FixtureRequest) -> Made:
    # Long sentences gain so much that some overtake the best one late.
    seed = {"lstm": 0, "attention": 1}[request.param]
    captioner = ruled(tiny_captioner(request.param, length_penalty=PENALTY, seed=seed))
    return captioner, build_graph(captioner)


@torch.no_grad()
def test_it_finds_the_same_for_all_sizes(made: Made) -> None:
    captioner, graph = made
    engine = OnnxEngine(Exported(captioner, graph.onnx, graph.weights))
    for batch, beam, length, with_attention in itertools.product(
        (1, 2, 5), (1, 3, 8), (1, 2, 7, 30), (False, True)
    ):
        pictures = random_pictures(batch, seed=beam)
        for wanted in {1, beam}:
            found = engine(pictures, Search(beam, length, wanted, with_attention))
            expected = captioner(pictures, beam, length, with_attention, wanted)
            assert torch.equal(found.tokens, expected[0])
            for ours, theirs in zip(found[1:], expected[1:], strict=True):
                assert ours.shape == theirs.shape
                assert torch.allclose(ours, theirs, atol=TOLERANCE)


@torch.no_grad()
@pytest.mark.parametrize("length", [3, 20])
def test_the_search_ends_no_sooner_than_that_of_the_module(made: Made, length: int) -> None:
    captioner, graph = made
    engine = OnnxEngine(Exported(captioner, graph.onnx, graph.weights))
    for picture in random_pictures(60).split(1):
        found = engine(picture, Search(8, length, 1))
        every = captioner(picture, 8, length, False)
        assert torch.equal(found.tokens, every[0][:, :1])


def test_it_holds_no_weights(made: Made) -> None:
    captioner, graph = made
    known = captioner.state_dict()
    assert {name.removesuffix(".T") for name in graph.weights} <= known.keys()
    held = [i for i in onnx.load_from_string(graph.onnx).graph.initializer if i.raw_data]
    shapes = {tuple(weight.shape) for name, weight in known.items() if "weight" in name}
    assert not [i.name for i in held if tuple(i.dims) in shapes or tuple(i.dims)[::-1] in shapes]


def test_words_are_looked_up_in_a_table_of_weights_alone(made: Made) -> None:
    """Whoever loads the graph can fold it; nothing of it is left to be done for a picture."""
    captioner, graph = made
    (loop,) = (n for n in onnx.load_from_string(graph.onnx).graph.node if n.op_type == "Loop")
    nodes = loop.attribute[0].g.node
    looked_up = {n.input[0] for n in nodes if n.op_type == "Gather" and n.input[1] == "carried/6"}
    made_of = {name: n for n in nodes for name in n.output if n.op_type in ("Gemm", "MatMul")}
    (table,) = {n for n in looked_up if n in made_of or n.startswith("decoder.")}
    if hasattr(captioner.decoder, "word_lstm"):
        assert set(filter(None, made_of[table].input)) <= set(graph.weights)
    else:
        assert table in graph.weights


@torch.no_grad()
def test_other_weights_say_other_words(made: Made) -> None:
    captioner, graph = made
    pictures = random_pictures(4)
    ours = OnnxEngine(Exported(captioner, graph.onnx, graph.weights))
    name = "lstm" if hasattr(captioner.decoder, "layers") else "attention"
    other = tiny_captioner(name, length_penalty=PENALTY, seed=9)
    theirs = OnnxEngine(Exported(other, graph.onnx, graph.weights))
    search = Search(3, 8, 3)
    assert not torch.equal(ours(pictures, search).tokens, theirs(pictures, search).tokens)
    assert torch.equal(theirs(pictures, search).tokens, other(pictures, 3, 8, False)[0])
