"""What another machine can reach: the page, and nothing of TorchServe."""

from __future__ import annotations

import ipaddress
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from benchmarks.services import PORTS
from tests.e2e.conftest import Service

# Addresses for documentation, which lead nowhere: they are on the pair of interfaces alone.
HERE, THERE = "192.0.2.1", "192.0.2.2"
PROBE = """
import socket, sys
for port in sys.argv[2:]:
    try:
        socket.create_connection((sys.argv[1], int(port)), timeout=5).close()
    except ConnectionRefusedError:
        pass
    else:
        print(port)
"""


def test_every_port_listens_on_the_loopback_interface_alone(service: Service) -> None:
    launcher = psutil.Process(service.process.pid)
    listening = {
        (connection.laddr.ip, connection.laddr.port)
        for process in [launcher, *launcher.children(recursive=True)]
        for connection in process.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert {port for _, port in listening} == {int(service.environ[name]) for name in PORTS}
    for address, port in listening:
        # Java's sockets are of both families and write an IPv4 address as "::ffff:127.0.0.1".
        ip = ipaddress.ip_address(address)
        assert (getattr(ip, "ipv4_mapped", None) or ip).is_loopback, f"{address}:{port}"


@pytest.fixture
def machines() -> Iterator[list[tuple[str, ...]]]:
    """Two network namespaces, joined as two machines are: the commands that run one in each."""
    if os.geteuid() or not shutil.which("ip"):
        pytest.skip("making a network namespace takes root and iproute2")
    one, other = names = [f"captionize-{os.getpid()}-{number}" for number in (1, 2)]
    plan = f"""
        netns add {one}
        netns add {other}
        -netns {one} link add eth0 type veth peer name eth0 netns {other}
        -netns {one} address add {HERE}/30 dev eth0
        -netns {other} address add {THERE}/30 dev eth0
        -netns {one} link set lo up
        -netns {one} link set eth0 up
        -netns {other} link set eth0 up
    """
    try:
        for line in plan.strip().splitlines():
            subprocess.run(["ip", *line.split()], check=True)
        yield [("ip", "netns", "exec", name) for name in names]
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], check=False)


@pytest.mark.slow
def test_from_another_machine_only_the_page_is_reached(
    machines: list[tuple[str, ...]], tmp_path: Path
) -> None:
    here, there = machines
    service = Service(tmp_path / "run", {"CAPTIONIZE_HOST": "0.0.0.0"}, here).start()
    try:
        ports = [service.environ[name] for name in PORTS]
        probe = [sys.executable, "-c", PROBE]
        reached = subprocess.check_output([*there, *probe, HERE, *ports], text=True).split()
        assert reached == [service.environ["CAPTIONIZE_PORT"]]
        # The probe finds what there is to be found.
        local = subprocess.check_output([*here, *probe, "127.0.0.1", *ports], text=True).split()
        assert local == ports
    finally:
        service.stop()
