"""A captioner's graph that computes with integers of 8 bits.

Quantisation after training, in ONNX's own terms (Jacob et al., CVPR 2018): activations without a
sign, by the range that they have in pictures; weights with a sign, by a scale for each channel, and
what rounding them adds to a channel on average is taken off its bias (Nagel et al., ICCV 2019).
That is done to the convolutions that a BatchNorm follows, and to the sums of their results;
``integer_products`` does it to products with weights.

What was measured in pictures is all that the graph holds: it makes its integers out of the same
weights as the float graph, when it is loaded, so that an archive has them once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper
from torch import Tensor
from torch.nn import functional as F

from handler.engines import Search, inputs_of
from handler.sessions import HALF, open_session, weights_of
from training.packaging.integer_products import HIGH, LOW, products, round_products, watch
from training.packaging.onnx_graph import Graph, absent

# By names that stay from export to export: of each tensor that is rounded ``NAME/scale`` and
# ``NAME/zero``; of each convolution ``WEIGHT/offset``, what its bias needs, by channel.
Measured = Mapping[str, npt.NDArray[Any]]

PREFIX = "int8/"  # of what was measured, in a graph
# The first convolutions remain float. They have few channels, of which some matter much: integers
# there make a third of all error.
SPARED = 3
LEVELS, SIDE = 255.0, 127.0  # of an activation; of a weight, on either side of 0
TRIED = Search(beam_size=3, max_length=20, num_captions=3)  # in which words are measured
LEAST = 1e-4  # taken for a channel's largest weight, so that one of zeros keeps its bias


class _Layer(NamedTuple):
    """A convolution, its BatchNorm, and the tensor that these and an activation make."""

    conv: NodeProto
    norm: NodeProto
    output: str

    @property
    def weight(self) -> str:
        return str(self.conv.input[1])

    @property
    def epsilon(self) -> float:
        return float(next(a.f for a in self.norm.attribute if a.name == "epsilon"))


def _layers(graph: GraphProto) -> Iterator[_Layer]:
    """The layers that are to compute with integers, in the order of the graph."""
    users = defaultdict(list)
    for node in graph.node:
        for name in node.input:
            users[name].append(node)

    def then(node: NodeProto, *kinds: str) -> NodeProto | None:
        found = users[node.output[0]]
        return found[0] if len(found) == 1 and found[0].op_type in kinds else None

    for conv in [node for node in graph.node if node.op_type == "Conv"][SPARED:]:
        norm = then(conv, "BatchNormalization")
        if norm and len(conv.input) == 2:
            yield _Layer(conv, norm, (then(norm, "Clip", "Relu") or norm).output[0])


def _tensors(graph: GraphProto) -> dict[str, str]:
    """The tensors that become integers, each with a name that stays."""
    layers = {layer.conv.output[0]: layer for layer in _layers(graph)}
    known: dict[str, str] = {}
    for node in graph.node:
        if layer := layers.get(node.output[0]):
            known.setdefault(node.input[0], f"{layer.weight}/in")
            known[layer.output] = layer.weight
        elif node.op_type == "Add" and all(name in known for name in node.input):
            known[node.output[0]] = f"{known[node.input[0]]}/sum"
    return known


def measure(graph: Graph, script: Any, batches: Iterable[Tensor]) -> Measured:
    """What has to be known to make integers, measured in pictures by the float graph.

    Args:
        script: the captioner, which has the weights.
        batches: of pictures, uint8 ``[B, 3, S, S]``.
    """
    model = ModelProto.FromString(graph.onnx)
    known = _tensors(model.graph)
    if not known:
        return {}
    layers = [*_layers(model.graph)]
    grid, words = products(model.graph)
    read = [*known.items(), *((one.node.input[0], one.stays) for one in grid)]
    float32 = {
        name: helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name, _ in read
    }
    model.graph.output.extend(float32.values())
    watch(model, words)
    weights = weights_of(script, graph.weights)
    session = open_session(model.SerializeToString(), weights)
    wanted = [value.name for value in session.get_outputs()]
    count = 0
    means: defaultdict[str, Any] = defaultdict(float)
    ends: defaultdict[str, Any] = defaultdict(float)
    for images in batches:
        count += len(images)
        values = dict(zip(wanted, session.run(wanted, inputs_of(images, TRIED)), strict=True))
        for name, stays in read:
            flat = values[name].reshape(len(images), -1)
            ends[stays] += np.array([flat.min(1).sum(), flat.max(1).sum()])
        for one in words:
            low, high = values[f"{one.stays}{LOW}"].min(0), values[f"{one.stays}{HIGH}"].max(0)
            ends[one.stays] += np.array([low.sum(), high.sum()])
        for name in {layer.conv.input[0] for layer in layers}:
            means[name] += values[name].sum(0)  # (C, H, W)
    measured: dict[str, npt.NDArray[Any]] = {}
    for stays, sums in ends.items():
        low, high = sums / count  # the mean of the pictures'
        low, high = min(low, 0.0), max(high, LEAST)  # 0, with which is padded, is exact
        scale = (high - low) / LEVELS
        measured |= {
            f"{stays}/scale": np.array(scale, np.float32),
            f"{stays}/zero": np.array(round(-low / scale), np.uint8),
        }
    floats = {name: torch.from_numpy(value.numpy()) for name, value in weights.items()}
    for layer in layers:
        mean = torch.from_numpy(np.float32(means[layer.conv.input[0]] / count))
        measured[f"{layer.weight}/offset"] = _offset(layer, floats, mean).numpy()
    return measured


def _offset(layer: _Layer, values: Mapping[str, Tensor], mean: Tensor) -> Tensor:
    """What a channel of a layer loses on average as its weights are rounded, ``[C]``.

    Args:
        mean: of what the layer reads, ``[D, H, W]``.
    """
    scale, _, _, variance = (values[name] for name in layer.norm.input[1:])
    gain = scale / (variance + layer.epsilon).sqrt()
    weight = values[layer.weight] * gain.view(-1, 1, 1, 1)
    unit = (weight.abs().amax((1, 2, 3), keepdim=True)).clamp(min=LEAST) / SIDE
    lost = weight - (weight / unit).round() * unit
    attributes = {a.name: helper.get_attribute_value(a) for a in layer.conv.attribute}
    top, left, bottom, right = attributes["pads"]
    padded = F.pad(mean.unsqueeze(0), (left, right, top, bottom))
    stride, groups = tuple(attributes["strides"]), attributes["group"]
    return F.conv2d(padded, lost, None, stride, groups=groups).mean((0, 2, 3))


def quantise(graph: Graph, measured: Measured) -> Graph:
    """The graph with integers; empty if nothing was measured."""
    if not measured:
        return Graph(b"", [])
    model = ModelProto.FromString(graph.onnx)
    made = _Integers(model.graph, measured)
    del model.graph.node[:]
    model.graph.node.extend(made.nodes)
    model.graph.initializer.extend(made.constants)
    for one in model.graph.initializer:
        if one.name in made.halved:
            one.CopyFrom(absent(f"{one.name}{HALF}", TensorProto.FLOAT16, one.dims))
    round_products(model, measured, PREFIX)
    needed = [v.name for v in model.graph.initializer if v.data_location == v.EXTERNAL]
    return Graph(model.SerializeToString(), needed)


def measured_of(graph: bytes) -> Measured:
    """What ``quantise`` was given for a graph, which holds it; empty for an empty graph."""
    values = ModelProto.FromString(graph).graph.initializer
    return {
        value.name.removeprefix(PREFIX): numpy_helper.to_array(value)
        for value in values
        if value.name.startswith(PREFIX)
    }


class _Integers:
    """The nodes of a graph in which tensors are rounded to integers and back.

    ONNX Runtime fuses such pairs with the convolution between them.
    """

    def __init__(self, graph: GraphProto, measured: Measured) -> None:
        self.nodes: list[NodeProto] = []
        self.constants = [numpy_helper.from_array(v, PREFIX + k) for k, v in measured.items()]
        self._known = _tensors(graph)
        self._channels = {value.name: value.dims[0] for value in graph.initializer if value.dims}
        for name, value in (("half", SIDE), ("least", LEAST)):
            self._constant(name, np.float32(value))
        self._constant("within", np.array([1, 2, 3]))
        layers = {layer.conv.output[0]: layer for layer in _layers(graph)}
        self.halved = {layer.weight for layer in layers.values()}
        norms = {layer.norm.output[0] for layer in layers.values()}
        for node in graph.node:
            if layer := layers.get(node.output[0]):
                self._convolve(layer)
            elif node.output[0] not in norms:
                read = [f"{name}/rounded" if name in self._known else name for name in node.input]
                del node.input[:]
                node.input.extend(read)
                self.nodes.append(node)
            for name in node.output:
                if name in self._known:
                    self._round(name)

    def _constant(self, name: str, value: Any) -> str:
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def _add(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def _round(self, name: str) -> None:
        """Round a tensor to its 256 levels."""
        by = [f"{PREFIX}{self._known[name]}/{what}" for what in ("scale", "zero")]
        self._add("QuantizeLinear", [name, *by], f"{name}/integers")
        self._add("DequantizeLinear", [f"{name}/integers", *by], f"{name}/rounded")

    def _convolve(self, layer: _Layer) -> None:
        """A layer of rounded weights, its BatchNorm made part of them."""

        def add(kind: str, inputs: list[str], what: str, **attributes: Any) -> str:
            return self._add(kind, inputs, f"{layer.weight}/{what}", **attributes)

        def constant(what: str, value: Any) -> str:
            return self._constant(f"{layer.weight}/{what}", value)

        scale, shift, mean, variance = layer.norm.input[1:]
        read, channels = layer.conv.input[0], self._channels[layer.weight]
        steady = add("Add", [variance, constant("epsilon", np.float32(layer.epsilon))], "steady")
        gain = add("Div", [scale, add("Sqrt", [steady], "deviation")], "gain")
        gains = add("Unsqueeze", [gain, "within"], "gains")
        half = f"{layer.weight}{HALF}"  # as it is stored: only whole numbers are left of it
        weight = add("Mul", [add("Cast", [half], "float", to=TensorProto.FLOAT), gains], "folded")
        size = add("ReduceMax", [add("Abs", [weight], "sizes"), "within"], "size", keepdims=0)
        unit = add("Div", [add("Max", [size, "least"], "most"), "half"], "unit")
        centred = add("Sub", [shift, add("Mul", [mean, gain], "centre")], "centred")
        bias = add("Add", [centred, f"{PREFIX}{layer.weight}/offset"], "bias")
        units = add("Mul", [unit, f"{PREFIX}{self._known[read]}/scale"], "units")
        count = add("Round", [add("Div", [bias, units], "parts")], "count")
        small = [unit, constant("zeros", np.zeros(channels, np.int8))]
        large = [units, constant("zero", np.zeros(channels, np.int32))]
        integers = add("QuantizeLinear", [weight, *small], "integers", axis=0)
        whole = add("Cast", [count], "whole", to=TensorProto.INT32)
        inputs = [
            f"{read}/rounded",
            add("DequantizeLinear", [integers, *small], "rounded", axis=0),
            add("DequantizeLinear", [whole, *large], "shift", axis=0),
        ]
        conv = helper.make_node("Conv", inputs, [layer.norm.output[0]])
        conv.attribute.extend(layer.conv.attribute)
        self.nodes.append(conv)
