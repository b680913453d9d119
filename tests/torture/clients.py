"""Clients that want captions, and what they hold an answer to."""

from __future__ import annotations

import random
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import requests

from tests.torture.pictures import Picture, options
from tests.webui.specified import check

ROOT = Path(__file__).resolve().parents[2]
PICTURE = ROOT / "webui/static/examples/chelsea.jpg"
PAUSE_S = 0.2  # of a client, after another answer than a caption
TIMEOUT_S = 60


class Request(NamedTuple):
    """A picture and how it is sent."""

    picture: Picture
    options: dict[str, int] = {}
    explain: bool = False


class Answer(NamedTuple):
    """What came of a request."""

    said: str  # 200; of an error also its type, and when to try again; or how the connection ended
    problem: str = ""  # what is wrong with the answer


def ask(url: str, sent: Request) -> Answer:
    """Send a picture to the API."""
    address = f"{url}/api/{'explanations' if sent.explain else 'captions'}"
    files = {"image": ("p", sent.picture.data)}
    try:
        answer = requests.post(address, files=files, data=sent.options, timeout=TIMEOUT_S)
    except requests.RequestException as error:
        said = "refused" if "refused" in str(error) else type(error).__name__
        return Answer(said, f"no answer: {error}")
    try:
        problem = judge(answer, sent)
    except (AssertionError, ValueError, LookupError, TypeError) as error:
        problem = f"{type(error).__name__}: {error}: {answer.text[:300]}"
    if answer.ok:
        return Answer("200", problem)
    retry = answer.headers.get("Retry-After", "no")
    kind = re.search(r'"type": ?"(\w+)"', answer.text)
    return Answer(f"{answer.status_code} {kind and kind[1]} (Retry-After {retry})", problem)


def judge(answer: requests.Response, sent: Request) -> str:
    """What is wrong with an answer, empty where nothing is. Raises what its JSON is not like."""
    if answer.status_code != 200:
        refused = sent.picture.sound and answer.status_code != 503
        return problem_of_error(answer) or ("a sound picture was refused" if refused else "")
    body = answer.json()
    kind = "Explanations" if sent.explain else "Captions"
    check(body, {"$ref": f"#/components/schemas/{kind}"})
    captions = body["captions"]
    if len(captions) != sent.options.get("num_captions", len(captions)):
        return f"{len(captions)} captions"
    if any(len(one["words"]) > sent.options.get("max_length", 50) for one in captions):
        return "a caption is too long"
    image = body["image"]
    if sent.picture.size and (image["width"], image["height"]) != sent.picture.size:
        return f"the answer is about another picture: {image}"
    return ""


def problem_of_error(answer: requests.Response) -> str:
    """What is wrong with an error: its code, its form, or no word of when to come again."""
    error = answer.json()
    if answer.status_code not in documented():
        return f"{answer.status_code} is not in the table of errors: {error}"
    if sorted(error) != ["code", "message", "type"] or error["code"] != answer.status_code:
        return f"not an error's form: {error}"
    if not error["message"].endswith(".") or re.search(r"Traceback|\.py\b", error["message"]):
        return f"not a sentence for people: {error}"
    # To send this picture again would not help.
    again = error["type"] == "DecodingStopped" or "Retry-After" in answer.headers
    return "" if answer.status_code != 503 or again else f"a 503 without Retry-After: {error}"


@cache
def documented() -> frozenset[int]:
    """The codes in the table of docs/api.md."""
    rows = re.findall(r"^\| ([\d, ]+) \|", (ROOT / "docs/api.md").read_text("utf-8"), re.MULTILINE)
    return frozenset(int(code) for row in rows for code in row.split(","))


def plain() -> Iterator[Request]:
    """The same photo again and again."""
    photo = Request(Picture("JPEG", PICTURE.read_bytes()))
    while True:
        yield photo


def drawn(pictures: list[Picture], rng: random.Random) -> Iterator[Request]:
    """These pictures in any order, with valid options."""
    while True:
        yield Request(rng.choice(pictures), options(rng), explain=rng.random() < 0.2)


class Clients:
    """So many clients that send one picture after another, and count what they are answered.

    `requests` gives what a client of this number sends, until it ends or the block does.
    """

    def __init__(
        self, url: str, count: int, requests: Callable[[int], Iterator[Request]] = lambda _: plain()
    ) -> None:
        self._url = url
        self._stop = threading.Event()
        self._requests = requests
        self.threads = [threading.Thread(target=self._run, args=(n,)) for n in range(count)]
        self.answers: Counter[str] = Counter()  # to sound pictures
        self.mutated: Counter[str] = Counter()  # and to others
        self.longest = 0.0
        self.problems: list[tuple[str, Answer, Request]] = []  # and who was answered it

    def __enter__(self) -> Clients:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *error: Any) -> None:
        self._stop.set()
        for thread in self.threads:
            thread.join()

    def _run(self, client: int) -> None:
        for number, sent in enumerate(self._requests(client)):
            if self._stop.is_set():
                return
            begun = time.monotonic()
            answer = ask(self._url, sent)
            counted = self.answers if sent.picture.sound else self.mutated
            counted[answer.said] += 1
            self.longest = max(self.longest, time.monotonic() - begun)
            if answer.problem:
                self.problems.append((f"client {client}, request {number}", answer, sent))
            if sent.picture.sound and answer.said != "200":
                self._stop.wait(PAUSE_S)
