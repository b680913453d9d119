"""Products with weights in a captioner's graph, computed with integers of 8 bits.

They are what its words cost: the layers of the decoder, once for each word, and those that read
the grid. What is multiplied has one scale, by the range that it has in pictures, so that no answer
depends on what else is in a batch. A weight has one for each column, and is rounded as it is
loaded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from handler.sessions import INT8, SCALES
from training.packaging.onnx_graph import absent

MICROSOFT = "com.microsoft"  # the domain of ONNX Runtime's own operators
# Outside the loop only these, which read the grid. Tags are few, and come with logarithms, for
# which 256 levels are too coarse.
GRID = ("decoder.project.", "decoder.key.", "decoder.value.")
LOW, HIGH = "/low", "/high"


class Product(NamedTuple):
    """A product with a weight, by what stays from export to export, and the sum that follows."""

    node: NodeProto
    bias: NodeProto | None

    @property
    def stays(self) -> str:
        """The name of what it reads."""
        return f"{self.node.input[1]}/in"


def loop_of(graph: GraphProto) -> NodeProto | None:
    """The loop over words, if there is one."""
    return next((node for node in graph.node if node.op_type == "Loop"), None)


def products(graph: GraphProto) -> tuple[list[Product], list[Product]]:
    """Those of the grid, and those of every word."""
    vectors = {one.name for one in graph.initializer if len(one.dims) == 1}
    grid = [one for one in _products(graph, vectors) if one.node.input[1].startswith(GRID)]
    loop = loop_of(graph)
    return grid, [*_products(loop.attribute[0].g, vectors)] if loop else []


def _products(graph: GraphProto, vectors: set[str]) -> Iterator[Product]:
    users: dict[str, list[NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)
    for node in graph.node:
        if node.op_type == "MatMul" and node.input[1].endswith(".T"):
            after = users.get(node.output[0], [])
            adds = len(after) == 1 and after[0].op_type == "Add" and after[0].input[1] in vectors
            yield Product(node, after[0] if adds else None)


def watch(model: ModelProto, words: list[Product]) -> None:
    """Let a graph also return the least and the largest number that its words' products read, by
    picture: ``[T, B]`` each, as ``NAME/low`` and ``NAME/high``."""
    loop = loop_of(model.graph)
    if loop is None:
        return
    body = loop.attribute[0].g
    model.graph.initializer.append(numpy_helper.from_array(np.array([1, 2]), "watched"))
    for one in words:
        for kind, end in (("ReduceMin", LOW), ("ReduceMax", HIGH)):
            inner = f"{one.stays}{end}/step"
            made = helper.make_node(kind, [one.node.input[0], "watched"], [inner], keepdims=0)
            body.node.append(made)
            body.output.append(helper.make_tensor_value_info(inner, TensorProto.FLOAT, [None]))
            loop.output.append(f"{one.stays}{end}")
            found = helper.make_tensor_value_info(loop.output[-1], TensorProto.FLOAT, [None, None])
            model.graph.output.append(found)


def round_products(
    model: ModelProto, measured: Mapping[str, npt.NDArray[Any]], prefix: str
) -> None:
    """Compute with integers what was measured: ``PREFIX NAME/scale`` and ``PREFIX NAME/zero``."""
    graph = model.graph
    grid, words = ([x for x in some if f"{x.stays}/scale" in measured] for some in products(graph))
    taken = {one.node.input[1] for one in (*grid, *words)}
    needed = {name for node in graph.node for name in node.input} - taken
    if loop := loop_of(graph):
        body = loop.attribute[0].g
        _replace(body, words, prefix)
        _halve_tables(body, {one.name for one in graph.initializer})
        needed |= {name for node in body.node for name in node.input}
    _replace(graph, grid, prefix)  # the loop is another object from here on
    sizes = {one.name: one.dims for one in graph.initializer if one.name in taken}
    kept = [one for one in graph.initializer if one.name in needed or one.name not in taken]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    for name, dims in sizes.items():
        graph.initializer.append(absent(f"{name}{INT8}", TensorProto.INT8, dims))
        graph.initializer.append(absent(f"{name}{SCALES}", TensorProto.FLOAT, dims[1:]))
    if taken:
        model.opset_import.append(helper.make_opsetid(MICROSOFT, 1))


def _replace(graph: GraphProto, taken: list[Product], prefix: str) -> None:
    by_output = {one.node.output[0]: one for one in taken}
    sums = {one.bias.output[0] for one in taken if one.bias}
    nodes = []
    for node in graph.node:
        one = by_output.get(node.output[0])
        if one:
            read, weight = node.input
            by = [f"{prefix}{one.stays}/{what}" for what in ("scale", "zero")]
            integers = f"{one.stays}/integers"
            nodes.append(helper.make_node("QuantizeLinear", [read, *by], [integers]))
            inputs = [integers, f"{weight}{INT8}", by[0], f"{weight}{SCALES}", by[1], ""]
            inputs += [one.bias.input[1]] if one.bias else []
            output = (one.bias or node).output
            nodes.append(helper.make_node("MatMulIntegerToFloat", inputs, output, domain=MICROSOFT))
        elif node.output[0] not in sums:
            nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)


def _halve_tables(body: GraphProto, weights: set[str]) -> None:
    """Keep what is made of weights alone, a row for each word, in half precision: it is large."""
    tables = {
        node.output[0]
        for node in body.node
        if node.op_type in ("Gemm", "MatMul") and weights.issuperset(node.input)
    }
    nodes = []
    for node in body.node:
        read = node.op_type == "Gather" and node.input[0] in tables
        if read:
            node.input[0], found = f"{node.input[0]}/half", node.output[0]
            node.output[0] = f"{found}/half"
        nodes.append(node)
        if read:
            nodes.append(helper.make_node("Cast", node.output, [found], to=TensorProto.FLOAT))
        elif node.output[0] in tables:
            halved = [f"{node.output[0]}/half"]
            nodes.append(helper.make_node("Cast", node.output, halved, to=TensorProto.FLOAT16))
    del body.node[:]
    body.node.extend(nodes)
