"""Tensors of the Open Inference Protocol, in JSON or after it, in its binary extension."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from webui.protocols.pictures import MOST, check_number, from_base64, missing, read_all
from webui.web.bodies import BadBody
from webui.web.extensions import service
from webui.web.problem import too_large
from webui.web.settings import Settings

LENGTH = struct.Struct("<I")  # stands before each element of BYTES


@dataclass(frozen=True)
class Output:
    """A tensor of the answer, of BYTES or FP32."""

    name: str
    datatype: str
    values: list[str] | list[float]

    def described(self, *, binary: bool) -> dict[str, Any]:
        """It, or where it is binary its size, as JSON."""
        what = {"name": self.name, "datatype": self.datatype, "shape": [len(self.values)]}
        if binary:
            return {**what, "parameters": {"binary_data_size": len(self.encoded())}}
        return {**what, "data": self.values}

    def encoded(self) -> bytes:
        """Its elements in binary."""
        if self.datatype == "FP32":
            return struct.pack(f"<{len(self.values)}f", *self.values)
        texts = [str(value).encode() for value in self.values]
        return b"".join(LENGTH.pack(len(text)) + text for text in texts)


def pictures(inputs: object, binary: bytes, name: str) -> list[bytes]:
    """The pictures in the one input. Raises ServiceError."""
    given = inputs if isinstance(inputs, list) else []
    if len(given) != 1 or not isinstance(given[0], dict) or given[0].get("name") != name:
        names = [one.get("name") if isinstance(one, dict) else one for one in given[:5]]
        raise BadBody(f"Expected one input, {name!r}, got {str(names)[:100]}.")
    tensor = given[0]
    if tensor.get("datatype") != "BYTES":
        came = str(tensor.get("datatype"))[:20]
        raise BadBody(f"Expected the datatype BYTES for {name!r}, got {came!r}.")
    parameters = tensor.get("parameters")
    size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
    if size is None:
        data = tensor.get("data")
        texts = list(_flat(data)) if isinstance(data, list) else []
        found = read_all(texts, f"the data of {name!r}", from_base64)
    else:
        if size != len(binary):
            raise BadBody(
                f"Expected {len(binary)} as binary_data_size, which is what follows the JSON, got "
                f"{str(size)[:20]}."
            )
        found = list(islice(_elements(binary, name), MOST + 1))
        check_number(len(found), repr(name))
    _check_shape(tensor.get("shape"), len(found), name)
    return found


def _flat(data: list[Any]) -> Iterator[Any]:
    """The elements of nested lists, as a shape such as [1, 1] has them."""
    for one in data:
        if isinstance(one, list):
            yield from one
        else:
            yield one


def _elements(binary: bytes, name: str) -> Iterator[bytes]:
    """The elements of a tensor of BYTES. Raises ServiceError."""
    limit, at = service(Settings).max_upload_bytes, 0
    while at < len(binary):
        if at + LENGTH.size > len(binary):
            raise _cut(name)
        (size,) = LENGTH.unpack_from(binary, at)
        at += LENGTH.size
        if size > limit:
            raise too_large(limit)
        if at + size > len(binary):
            raise _cut(name)
        if not size:
            raise missing(f"every element of {name!r}")
        yield binary[at : at + size]
        at += size


def _cut(name: str) -> BadBody:
    return BadBody(
        f"Expected each element of {name!r} after its length in four bytes, got fewer bytes."
    )


def _check_shape(shape: object, count: int, name: str) -> None:
    """Raise BadBody unless the shape has room for exactly so many elements."""
    sizes = shape if isinstance(shape, list) else []
    whole = all(isinstance(one, int) and not isinstance(one, bool) and one > 0 for one in sizes)
    if not sizes or not whole or math.prod(sizes[:8]) != count:
        raise BadBody(
            f"Expected a shape of {count} elements for {name!r}, such as [{count}], got "
            f"{str(shape)[:50]}."
        )
