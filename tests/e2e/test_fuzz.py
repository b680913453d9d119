"""Whatever is sent to the running service, it answers as its specification says."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

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

from tests.e2e.conftest import Service
from tests.e2e.test_serving import COFFEE
from tests.webui.specified import operations
from webui import create_app, openapi

TOKEN = "a-token-of-the-tests-" + "x" * 32
EXAMPLES = 15  # made-up requests for each operation, beside the specification's own
# With the examples of the specification these would take the model away that the rest needs.
TAKES_AWAY = {"unregister", "scale", "change"}
CHECKS: list[Any] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


def served() -> dict[str, Any]:
    """The specification, without what is no route yet and what would take the model away."""
    there = {rule.rule.replace("<", "{").replace(">", "}") for rule in _rules()}
    whole = copy.deepcopy(openapi.specification())
    for path, method, operation in operations():
        if path not in there or operation["operationId"] in TAKES_AWAY:
            del whole["paths"][path][method]
    return whole


def _rules() -> Iterator[Any]:
    return create_app().url_map.iter_rules()


schema = schemathesis.openapi.from_dict(served())
schema.config.generation.update(max_examples=EXAMPLES)
schema.config.seed = 1


@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
def test_answers_are_as_specified(case: Any, administered: Service) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"} if case.path.startswith("/api/") else None
    case.call_and_validate(
        base_url=administered.page_url, headers=headers, checks=CHECKS, timeout=60
    )


def test_it_still_captions(administered: Service) -> None:
    assert requests.get(f"{administered.page_url}/readyz", timeout=30).status_code == 200
    files = {"image": ("coffee.jpg", COFFEE)}
    answer = requests.post(f"{administered.page_url}/api/captions", files=files, timeout=60)
    assert answer.status_code == 200
    assert administered.process.poll() is None
