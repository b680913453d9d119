"""From a foreign request to captions, by the path of POST /api/captions, and on to their words."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from flask import request

from webui.captions import captioning, shading
from webui.captions.uploads import Upload
from webui.protocols.filling import filled
from webui.torchserve.answer import Answer, Caption
from webui.torchserve.management import Known, Version
from webui.torchserve.refusals import ManagementError
from webui.versions.catalogue import Catalogue
from webui.web.bodies import BadBody
from webui.web.extensions import count_more, service
from webui.web.names import is_name
from webui.web.problem import BadUpload, ServiceError
from webui.web.settings import Settings

LATEST = "latest"
LONGEST = 50  # words of a caption
MOST_CAPTIONS = 8
# What could make an object of many parts, each of which takes far more memory than it is long.
PARTS, MOST_PARTS = (b",", b"[", b"{"), 100_000
PROMPTS = (
    "This model describes pictures in one sentence of English. It follows no prompt: whatever is "
    "asked, the answer is the picture's caption."
)


class Token(NamedTuple):
    """A word with what stands before it, and its probability."""

    text: str
    probability: float


@dataclass(frozen=True)
class Reply:
    """One answer: its pieces, which together are its text."""

    tokens: list[Token]
    cut: bool = False  # it ended because no more words were allowed

    @property
    def text(self) -> str:
        return "".join(token.text for token in self.tokens)


def allow_base64() -> None:
    """Let the body be as large as a picture is in base64; a before_request hook."""
    request.max_content_length = service(Settings).max_body_bytes


def read_body() -> dict[str, Any]:
    """The JSON object that was sent, whatever its type is called. Raises BadBody."""
    return parse_body(request.get_data(cache=False))


def parse_body(raw: bytes) -> dict[str, Any]:
    """The JSON object in these bytes. Raises BadBody."""
    if sum(map(raw.count, PARTS)) > MOST_PARTS:
        raise BadBody(
            f"Expected a JSON object of at most {MOST_PARTS} members and elements, got more. Send "
            "pictures in base64, and less beside them."
        )
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise BadBody("Expected a JSON object, got something else. Check the body.") from error
    if not isinstance(body, dict):
        raise BadBody(f"Expected a JSON object, got {json.dumps(body)[:20]}.")
    return body


def version_of(name: object) -> str | None:
    """The version that a model's name asks for, None for the default. Raises ServiceError, 404."""
    own = service(Settings).model_name
    model, _, tag = str(name).partition(":")
    if not isinstance(name, str) or model != own or (tag and not is_name(tag)):
        raise ServiceError(
            f"There is no model {str(name)[:50]!r} here. Ask for {own!r}, or for one of its "
            f"versions, such as '{own}:1.1'; the list of models has them all.",
            code=404,
            type="NoSuchModel",
        )
    return None if tag in ("", LATEST) else tag


def known_version(name: object) -> Version:
    """The version with this name among those that TorchServe has. Raises ServiceError, 404."""
    version = version_of(name)
    for one in versions():
        if one.version == version or version is None and one.default:
            return one
    raise ServiceError(
        f"There is no model {str(name)[:50]!r} here. The list of models has them all.",
        code=404,
        type="NoSuchModel",
    )


def versions() -> list[Version]:
    """The versions of the page's model; none while it is not registered. Raises ServiceError."""
    try:
        return service(Known).versions()
    except ManagementError as error:
        if error.code == 404:
            return []
        raise


def card(version: Version) -> dict[str, Any]:
    """What is known of a version's model; {} where that is nothing."""
    return service(Catalogue).card(service(Settings).model_name, version) or {}


def adopted_from(card: Mapping[str, Any]) -> str:
    """The published model that a card is of; empty for one that was trained here."""
    adopted = card.get("adopted")
    return str(adopted.get("from") or "") if isinstance(adopted, dict) else ""


def option(body: dict[str, Any], name: str, most: int) -> int | None:
    """A whole number of 1 or more, at most `most` of it. Raises BadBody.

    None without one, and for a negative one, by which some clients mean that there is no limit.
    """
    value = body.get(name)
    if value is None or isinstance(value, int) and value < 0:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value == 0:
        came = json.dumps(value)[:50]
        raise BadBody(f"Expected a whole number of at least 1 for {name}, got {came}.")
    return min(value, most)


def caption(
    pictures: Sequence[bytes], version: str | None, options: Mapping[str, int]
) -> list[Answer]:
    """Caption all pictures; each counts as an upload of its own. Raises ServiceError."""
    count_more(len(pictures) - 1)
    uploads = [Upload(picture, {**options}, version) for picture in pictures]
    return [captioning.caption_upload(upload).answer for upload in uploads]


def replies(
    answers: Sequence[Answer], count: int, longest: int | None, schema: dict[str, Any] | None
) -> list[Reply]:
    """Up to `count` replies: the first has each picture's best caption in a line, the next the
    second best, and so on. With a `schema` ({} for any object) a reply is JSON.
    """
    if schema is not None and len(answers) > 1:
        raise BadUpload(
            f"Expected one picture for an answer in JSON, got {len(answers)}. "
            "Send them one by one.",
            type="SeveralImages",
        )
    found = []
    for number in range(min(count, *(len(answer["captions"]) for answer in answers))):
        captions = [answer["captions"][number] for answer in answers]
        cut = longest is not None and any(len(one["words"]) >= longest for one in captions)
        if schema is not None:
            found.append(Reply([Token(filled(schema, answers[0], captions[0]), 1.0)]))
            continue
        spoken: list[Token] = []
        for one in captions:
            first, *rest = tokens(one)
            spoken += [Token(f"\n{first.text}", first.probability) if spoken else first, *rest]
        found.append(Reply(spoken, cut))
    return found


def tokens(caption: Caption) -> list[Token]:
    """The caption's text, cut before its words."""
    found: list[Token] = []
    before, end = "", 0
    for piece, word in shading.pieces(caption):
        text = caption["caption"][end : end + len(piece)]  # as it is, not as a sentence
        end += len(piece)
        if word is None:
            before += text
        else:
            found.append(Token(before + text, word["probability"]))
            before = ""
    if not found:  # its words do not stand in it: it is one piece
        return [Token(caption["caption"], math.exp(caption["log_probability"]))]
    if before:
        found[-1] = Token(found[-1].text + before, found[-1].probability)
    return found
