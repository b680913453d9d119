"""What the tests send to a running service, and the one who sends it."""

from __future__ import annotations

import io
from typing import Any

import requests
from PIL import Image
from skimage import data

from tests.e2e.conftest import Service

TIMEOUT_S = 60


def jpeg(pixels: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG")
    return file.getvalue()


COFFEE = jpeg(data.coffee())


class Client:
    """Sends requests with the service's tokens."""

    def __init__(self, service: Service) -> None:
        self.service = service

    def predict(self, verb: str = "predictions", **request: Any) -> requests.Response:
        return requests.post(
            f"{self.service.inference_url}/{verb}/captioner",
            **_with_token(request, self.service.inference_token()),
        )

    def manage(self, method: str, path: str) -> requests.Response:
        url = self.service.management_url + path
        return requests.request(method, url, **_with_token({}, self.service.management_token()))

    def worker(self) -> dict[str, Any]:
        """The one worker of the model, as TorchServe sees it."""
        (worker,) = self.manage("GET", "/models/captioner").json()[0]["workers"]
        return dict(worker)

    def readyz(self) -> int:
        return requests.get(f"{self.service.page_url}/readyz", timeout=TIMEOUT_S).status_code


def _with_token(request: dict[str, Any], token: str) -> dict[str, Any]:
    headers = {**request.pop("headers", {}), "Authorization": f"Bearer {token}"}
    return {"timeout": TIMEOUT_S, "headers": headers, **request}
