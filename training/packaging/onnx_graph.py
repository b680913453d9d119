"""The captioner as one ONNX graph without weights, for engines other than PyTorch.

The graph is put together from the module's own methods, as ``torch.onnx`` exports them: ``begin``,
``advance`` as the body of a loop, and the confidence. Nothing of the search is written twice.

Inputs, whose sizes say how far to search:
    images ``[B, 3, S, S]`` uint8; scores ``[K]`` float32: 0, then minus infinity; steps ``[T]``
    int64: 0 to T - 1; looks: the same, or ``[0]`` without attention; wanted ``[K]`` bool.
Outputs: those of ``Captioner.forward``, of all K sentences.

A weight is known by its name in the module's state dict, with ``.T`` behind it where it stands
transposed. Its values are not in the graph: the program that loads the graph supplies them, so
that an archive holds them once.
"""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import onnxscript.optimizer
import torch
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from handler.sessions import PAGE, PLACE
from training.model.captioner import Captioner, Hypotheses
from training.model.tagger import Tags

logging.getLogger("onnxscript").setLevel(logging.WARNING)
logging.getLogger("onnx_ir").setLevel(logging.WARNING)

PREFIX = "captioner."  # of a weight's name while the parts are apart
VARIES = torch.export.Dim.AUTO
IR_VERSION = 10  # of the file format: ONNX Runtime reads none newer than itself


class Part(nn.Module):
    """One method of a captioner as a module of its own, whose weights keep their names."""

    def __init__(self, captioner: Any) -> None:
        super().__init__()
        self.captioner = captioner


class _Begin(Part):
    def forward(
        self, images: Tensor, scores: Tensor, steps: Tensor, looks: Tensor
    ) -> tuple[Tensor, Tags, list[Tensor], Hypotheses]:
        features = self.captioner.encoder(images)
        tags = self.captioner.see(features)
        memory, beams = self.captioner.begin(features, tags, scores, steps, looks)
        return features, tags, memory, beams


class _Advance(Part):
    def forward(
        self, t: Tensor, beams: Hypotheses, memory: list[Tensor], wanted: Tensor
    ) -> tuple[Tensor, Hypotheses]:
        grown, settled = self.captioner.advance(t, memory, beams, wanted)
        return ~settled, grown


class _Finish(Part):
    def forward(
        self, features: Tensor, tags: Tags, tokens: Tensor, log_probs: Tensor
    ) -> tuple[Tensor, Tensor]:
        tokens, means = self.captioner.rules.agree(tokens), self.captioner.tagger.means
        return tokens, self.captioner.calibration(features, tags, means, tokens, log_probs)


@dataclass(frozen=True)
class Graph:
    """An ONNX graph, serialised, and the names of the weights that it needs."""

    onnx: bytes
    weights: list[str]


@torch.no_grad()
def build_graph(captioner: Captioner) -> Graph:
    """Export a captioner on the CPU, in eval mode and float32."""
    size = captioner.image_size
    # The sizes of the example differ from each other, so that none is taken for another.
    images = torch.zeros(2, 3, size, size, dtype=torch.uint8)
    scores, steps, looks = torch.zeros(3), torch.arange(6), torch.arange(4)
    wanted = torch.ones(3, dtype=torch.bool)
    begin = _Begin(captioner)
    features, tags, memory, beams = apart(begin(images, scores, steps, looks))
    # With each argument, the number of its leading dimensions that vary.
    first = export_part(begin, [(images, 1), (scores, 1), (steps, 1), (looks, 1)])
    step = export_part(
        _Advance(captioner), [(torch.tensor(1), 0), (beams, 3), (memory, 1), (wanted, 1)]
    )
    last = export_part(
        _Finish(captioner), [(features, 1), (tags, 1), (beams.tokens, 3), (beams.log_probs, 3)]
    )
    return compose(first, step, last, memories=len(memory))


def apart(values: Any) -> Any:
    """Copies of tensors in their plain layout: the exporter takes one that comes twice for one
    value, and the strides of an expanded one for a part of its type."""
    return pytree.tree_map(lambda value: value.contiguous().clone(), values)


def export_part(part: nn.Module, example: Sequence[tuple[Any, int]]) -> ModelProto:
    """Export a module called with the arguments of ``example``."""
    sizes = tuple(
        pytree.tree_map(lambda x, n=varying: dict.fromkeys(range(min(n, x.dim())), VARIES), value)
        for value, varying in example
    )
    arguments = tuple(value for value, _ in example)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the exporter's own use of PyTorch
        program = torch.onnx.export(
            part.eval(), arguments, dynamic_shapes=sizes, dynamo=True, optimize=False, verbose=False
        )
    assert program is not None
    return _simplify(program.model_proto)


def _simplify(model: ModelProto) -> ModelProto:
    """Simplify a part with its weights as inputs, so that none is folded into another one."""
    graph = model.graph
    weights = {i.name: (i.data_type, list(i.dims)) for i in graph.initializer if _is_weight(i)}
    turned = {
        node.output[0]: f"{node.input[0]}.T"
        for node in graph.node
        if node.op_type == "Transpose" and len(weights.get(node.input[0], ("", []))[1]) == 2
    }
    for name in turned.values():
        kind, dims = weights[name.removesuffix(".T")]
        weights[name] = (kind, dims[::-1])
    nodes = [node for node in graph.node if node.output[0] not in turned]
    for node in nodes:
        _replace(node.input, [turned.get(name, name) for name in node.input])
    _replace(graph.node, nodes)
    _replace(graph.initializer, [i for i in graph.initializer if not _is_weight(i)])
    graph.input.extend(helper.make_tensor_value_info(name, *weights[name]) for name in weights)
    return onnxscript.optimizer.optimize(model)


def _is_weight(value: TensorProto | ValueInfoProto) -> bool:
    # A tensor that is made of a module's plain numbers is lifted out of its code, and no weight.
    return value.name.startswith(PREFIX) and ".lifted_tensor_" not in value.name


def _replace(field: Any, values: Iterable[Any]) -> None:
    """Give a repeated field of a protocol buffer other values."""
    values = list(values)
    del field[:]
    field.extend(values)


class _Placed:
    """A part's nodes in the common graph, its values under names of their own.

    Args:
        name: the part's, put before the names of its values.
        inputs: the names that its inputs have in the common graph, in order.
    """

    def __init__(self, name: str, part: ModelProto, inputs: Sequence[str]) -> None:
        graph = part.graph
        weights = [value for value in graph.input if _is_weight(value)]
        self.inputs = [value for value in graph.input if not _is_weight(value)]
        self._name = name
        self._names = {value.name: value.name.removeprefix(PREFIX) for value in weights}
        self._names |= dict(zip((value.name for value in self.inputs), inputs, strict=True))
        used = {value for node in graph.node for value in node.input}
        self.weights = {
            self._names[value.name]: value.type.tensor_type
            for value in weights
            if value.name in used
        }
        for constant in graph.initializer:
            constant.name = self._renamed(constant.name)
        self.constants = list(graph.initializer)
        self.outputs = [self._renamed(value.name) for value in graph.output]
        self.returned = list(graph.output)
        for node in graph.node:
            node.name = f"{name}/{node.name}"
            _replace(node.metadata_props, [])  # stack traces of the export
            _replace(node.input, [self._renamed(value) for value in node.input])
            _replace(node.output, [self._renamed(value) for value in node.output])
        self.nodes: list[NodeProto] = list(graph.node)

    def _renamed(self, value: str) -> str:
        # An input that is not given has an empty name.
        return value and self._names.get(value, f"{self._name}/{value}")


def compose(
    first: ModelProto,
    step: ModelProto,
    last: ModelProto,
    memories: int,
    kept: int = 4,
    limit: str = "wanted",
) -> Graph:
    """Join the parts: ``first``, a loop of ``step`` over the hypotheses, ``last``.

    Args:
        memories: of what ``first`` returns, the number that every step reads.
        kept: how many come before these, which only ``last`` reads: features and tags, whose words
            and probabilities are answered, too.
        limit: the name of the last input of ``step``.
    """
    begin = _Placed("begin", first, ["images", "scores", "steps", "looks"])
    features, rest = begin.outputs[:kept], begin.outputs[kept:]
    tags = features[1:3]
    memory, start = rest[:memories], rest[memories:]
    carried = [f"carried/{i}" for i in range(len(start))]
    found = [f"found/{i}" for i in range(len(start))]  # tokens, log_probs, attention, ...
    body = _Placed("step", step, ["t", *carried, *memory, limit])
    finish = _Placed("finish", last, [*features, *found[:2]])
    going, *grown = body.returned
    loop = helper.make_graph(
        body.nodes,
        "step",
        [_like(value, name) for value, name in zip(body.inputs[:1], ["t"], strict=True)]
        + [_like(going, "going")]
        + [_like(value, name) for value, name in zip(grown, carried, strict=True)],
        [_like(value, name) for value, name in zip(body.returned, body.outputs, strict=True)],
    )
    nodes = [
        *begin.nodes,
        helper.make_node("Shape", ["steps"], ["trips"]),
        helper.make_node("Loop", ["trips", "", *start], found, body=loop),
        *finish.nodes,
    ]
    weights = begin.weights | body.weights | finish.weights
    graph = helper.make_graph(
        nodes,
        "captioner",
        [*begin.inputs, _like(body.inputs[-1], limit)],
        [_like(finish.returned[0], finish.outputs[0])]
        + [_like(value, name) for value, name in zip(grown[1:3], found[1:3], strict=True)]
        + [_like(finish.returned[1], finish.outputs[1])]
        + [
            _like(value, name)
            for value, name in zip(begin.returned[1 : len(tags) + 1], tags, strict=True)
        ],
        [
            absent(name, kind.elem_type, [size.dim_value for size in kind.shape.dim])
            for name, kind in weights.items()
        ]
        + begin.constants
        + body.constants
        + finish.constants,
    )
    model = helper.make_model(graph, opset_imports=first.opset_import, ir_version=IR_VERSION)
    return Graph(model.SerializeToString(), list(weights))


def _like(value: ValueInfoProto, name: str) -> ValueInfoProto:
    """A value of this type, of any size: what is known of sizes in one part is not so in all."""
    kind = value.type.tensor_type
    return helper.make_tensor_value_info(name, kind.elem_type, [None] * len(kind.shape.dim))


def absent(name: str, kind: int, dims: Iterable[int]) -> TensorProto:
    """A weight whose values are elsewhere; ``kind`` is ONNX's number of their type."""
    weight = TensorProto(name=name, data_type=kind, dims=dims, data_location=TensorProto.EXTERNAL)
    weight.external_data.add(key="location", value=PLACE)
    return weight


def laid_out(graph: bytes, names: Iterable[str]) -> bytes:
    """A graph that says where in a file ``PLACE`` its weights are, if they come in this order and
    each begins a page."""
    if not graph:
        return graph
    model, offset = ModelProto.FromString(graph), 0
    weights = {one.name: one for one in model.graph.initializer}
    for name in names:
        weight = weights[name]
        length = helper.tensor_dtype_to_np_dtype(weight.data_type).itemsize * math.prod(weight.dims)
        offset = -(-offset // PAGE) * PAGE
        del weight.external_data[:]
        for key, value in (("location", PLACE), ("offset", offset), ("length", length)):
            weight.external_data.add(key=key, value=str(value))
        offset += length
    return model.SerializeToString()
