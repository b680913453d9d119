"""The client of docs/connect.md against the running TorchServe's gRPC."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest

from tests.e2e.client import COFFEE, Client
from tests.e2e.conftest import ROOT, Service

ADDRESS = "127.0.0.1:7070"  # in the documentation
TIMEOUT_S = 60


@pytest.fixture(scope="module")
def folder(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a reader tries the section out: its two files, the run folder and a photo."""
    text = (ROOT / "docs" / "connect.md").read_text(encoding="utf-8")
    section = text.split("\n## gRPC\n")[1].split("\n## ")[0]
    folder = tmp_path_factory.mktemp("grpc")
    for kind, name in (("proto", "captionize.proto"), ("python", "client.py")):
        (block,) = re.findall(rf"```{kind}\n(.*?)```", section, re.DOTALL)
        (folder / name).write_text(block.replace(ADDRESS, address(service)))
        assert ADDRESS not in (folder / name).read_text()
    (folder / "run").symlink_to(service.run_dir)
    (folder / "photo.jpg").write_bytes(COFFEE)
    return folder


def address(service: Service) -> str:
    return f"127.0.0.1:{service.environ['CAPTIONIZE_GRPC_INFERENCE_PORT']}"


def run(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the client in a process of its own, as a reader does."""
    command = [sys.executable, "client.py"]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )


def predict(folder: Path, service: Service, token: str, **fields: bytes) -> dict[str, Any]:
    """Ask with the documented messages."""
    command = [sys.executable, "-m", "grpc_tools.protoc", "-I.", "--python_out=."]
    subprocess.run([*command, "captionize.proto"], cwd=folder, check=True, timeout=TIMEOUT_S)
    sys.path.insert(0, str(folder))
    try:
        import captionize_pb2 as messages
    finally:
        sys.path.remove(str(folder))
    with grpc.insecure_channel(address(service)) as channel:
        call = channel.unary_unary(
            "/org.pytorch.serve.grpc.inference.InferenceAPIsService/Predictions",
            request_serializer=messages.PredictionsRequest.SerializeToString,
            response_deserializer=messages.PredictionResponse.FromString,
        )
        request = messages.PredictionsRequest(model_name="captioner", input=fields)
        metadata = [("protocol", "gRPC"), ("authorization", f"Bearer {token}")]
        return dict(json.loads(call(request, metadata=metadata, timeout=TIMEOUT_S).prediction))


def test_the_documented_client_prints_the_caption_of_the_rest_api(
    folder: Path, service: Service
) -> None:
    headers = {"Content-Type": "image/jpeg"}
    over_rest = Client(service).predict(data=COFFEE, headers=headers).json()
    done = run(folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout == over_rest["caption"] + "\n"


def test_options_are_entries_beside_the_picture(folder: Path, service: Service) -> None:
    token = service.inference_token()
    answer = predict(folder, service, token, data=COFFEE, num_captions=b"2", beam_size=b"2")
    assert len(answer["captions"]) == 2
    assert "code" not in answer


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"data": b"no picture"}, 415),
        ({"data": COFFEE, "beam_size": b"99"}, 400),
        ({"data": COFFEE[: len(COFFEE) // 2]}, 422),
    ],
)
def test_what_cannot_be_captioned_is_answered_with_its_code(
    folder: Path, service: Service, fields: dict[str, bytes], code: int
) -> None:
    assert predict(folder, service, service.inference_token(), **fields)["code"] == code


def test_a_wrong_token_is_refused(folder: Path, service: Service) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        predict(folder, service, "wrong", data=COFFEE)
    assert refused.value.code() == grpc.StatusCode.PERMISSION_DENIED


def test_it_listens_on_this_machine_alone(service: Service) -> None:
    port = int(service.environ["CAPTIONIZE_GRPC_INFERENCE_PORT"])
    listening = [
        one.laddr.ip
        for process in psutil.Process(service.process.pid).children(recursive=True)
        for one in process.net_connections("tcp")
        if one.status == psutil.CONN_LISTEN and one.laddr.port == port
    ]
    assert listening
    assert {ip.removeprefix("::ffff:") for ip in listening} == {"127.0.0.1"}
    others = {
        a.address for n in psutil.net_if_addrs().values() for a in n if a.family == socket.AF_INET
    }
    for other in others - {"127.0.0.1"}:
        with pytest.raises(OSError, match="refused"):
            socket.create_connection((other, port), 2)
