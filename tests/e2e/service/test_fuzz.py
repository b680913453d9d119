"""Whatever is sent to the running service, it answers as its specification says."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.e2e.client import COFFEE
from tests.e2e.conftest import Service
from tests.webui.administration import TOKEN
from tests.webui.specified import operations
from webui.docs import specification

EXAMPLES = 15  # made-up requests for each operation, beside the specification's own
# With the examples of the specification these would take the model away that the rest needs.
TAKES_AWAY = {"unregister", "scale", "change"}
FOREIGN = ("Ollama", "OpenAI", "Open Inference Protocol")
CHECKS: list[Any] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


def served(*, foreign: bool) -> Any:
    """The specification of our own APIs, or of the others, without what takes the model away."""
    whole = copy.deepcopy(specification.specification())
    for path, method, operation in operations():
        other = (operation["tags"][0] in FOREIGN) is not foreign
        if other or operation["operationId"] in TAKES_AWAY:
            del whole["paths"][path][method]
    schema = schemathesis.openapi.from_dict(whole)
    schema.config.generation.update(max_examples=EXAMPLES)
    schema.config.seed = 1
    return schema


schema, foreign_schema = served(foreign=False), served(foreign=True)


as_settled = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service of its own: whoever guesses passwords as this does is soon let in no more."""
    environ = {"CAPTIONIZE_RATE_LIMIT": "1000000 per minute", "CAPTIONIZE_ADMIN_TOKEN": TOKEN}
    running = Service(tmp_path_factory.mktemp("fuzzed") / "run", environ).start()
    yield running
    running.stop()


@schema.parametrize()
@as_settled
def test_answers_are_as_specified(case: Any, fuzzed: Service) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"} if case.path.startswith("/api/") else None
    case.call_and_validate(base_url=fuzzed.page_url, headers=headers, checks=CHECKS, timeout=60)


@pytest.mark.slow
@foreign_schema.parametrize()
@as_settled
def test_answers_of_the_foreign_apis_are_as_specified(case: Any, fuzzed: Service) -> None:
    case.call_and_validate(base_url=fuzzed.page_url, checks=CHECKS, timeout=60)


def test_it_still_captions(fuzzed: Service) -> None:
    assert requests.get(f"{fuzzed.page_url}/readyz", timeout=30).status_code == 200
    files = {"image": ("coffee.jpg", COFFEE)}
    answer = requests.post(f"{fuzzed.page_url}/api/captions", files=files, timeout=60)
    assert answer.status_code == 200
    assert fuzzed.process.poll() is None
