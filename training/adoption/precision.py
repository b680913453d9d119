"""Computing an adopted captioner on a CPU with fewer bits than float32 has.

bfloat16 is PyTorch's. int8 is ONNX Runtime's: weights are rounded to whole numbers as they are
loaded, and what they are multiplied by as it comes, with one scale for all of a batch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper

from handler.engines import Exported
from handler.sessions import INT8, SCALES
from training.packaging.onnx_graph import Graph, absent

PRECISIONS = ("float32", "bfloat16", "int8")
MICROSOFT = "com.microsoft"  # the domain of ONNX Runtime's own operators


def lowered(exported: Exported, precision: str) -> Exported:
    """An exported module that CPUs compute in another precision; on GPUs it is half anyway."""
    if precision == "int8":
        graph = rounded(Graph(exported.graph, exported.weights))
        return dataclasses.replace(exported, graph=graph.onnx, weights=graph.weights)
    exported.script.precision = precision
    return without_graph(exported)


def without_graph(exported: Exported) -> Exported:
    """The TorchScript module alone."""
    return dataclasses.replace(exported, graph=b"", weights=[])


def rounded(graph: Graph) -> Graph:
    """A graph whose products with weights are computed in whole numbers of 8 bits."""
    model = ModelProto.FromString(graph.onnx)
    initializers = model.graph.initializer
    weights = {one.name: one for one in initializers if one.name in graph.weights}
    taken = {}
    for node in _nodes(model.graph):
        name = node.input[1] if node.op_type == "MatMul" else ""
        if name in weights and name.endswith(".T"):  # of a linear layer
            node.op_type, node.domain = "DynamicQuantizeMatMul", MICROSOFT
            node.input[1] = f"{name}{INT8}"
            node.input.append(f"{name}{SCALES}")
            taken[name] = weights[name].dims
    needed = {name for node in _nodes(model.graph) for name in node.input}
    left = [one for one in initializers if one.name in needed or one.name not in weights]
    del initializers[:]
    initializers.extend(left)
    for name, dims in taken.items():
        initializers.append(absent(f"{name}{INT8}", TensorProto.INT8, dims))
        initializers.append(absent(f"{name}{SCALES}", TensorProto.FLOAT, dims[1:]))
    model.opset_import.append(helper.make_opsetid(MICROSOFT, 1))
    names = [name for name in graph.weights if name in needed]
    names += [f"{name}{kind}" for name in taken for kind in (INT8, SCALES)]
    return Graph(model.SerializeToString(), names)


def _nodes(graph: GraphProto) -> Iterator[NodeProto]:
    """All nodes, those of a loop's body too."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            yield from _nodes(attribute.g)
