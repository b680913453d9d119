"""A picture in every form in which the tests send it."""

from __future__ import annotations

import base64
from typing import Any

PICTURE = b"\xff\xd8\xff the bytes of a picture"
BASE64 = base64.b64encode(PICTURE).decode()
DATA_URI = f"data:image/jpeg;base64,{BASE64}"


def openai_message(*addresses: object) -> dict[str, Any]:
    """A message with a text and pictures."""
    images = [{"type": "image_url", "image_url": {"url": one}} for one in addresses]
    return {"role": "user", "content": [{"type": "text", "text": "What is this?"}, *images]}


def chat(*addresses: object, **more: Any) -> dict[str, Any]:
    """The body of a chat completion."""
    return {"model": "captioner", "messages": [openai_message(*addresses)], **more}


def tensor(*elements: str, **more: Any) -> dict[str, Any]:
    """The body of an inference."""
    image = {"name": "image", "datatype": "BYTES", "shape": [len(elements)], "data": [*elements]}
    return {"inputs": [{**image, **more}]}
