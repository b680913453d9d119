"""A Pod on a Docker engine, its containers run, probed and ended as a kubelet does.

What Docker cannot do stays out: no Service, no NetworkPolicy, no restarts, and for a seccompProfile
the engine's own. A manifest that asks for more than is known here fails.
"""

from __future__ import annotations

import json
import math
import socket
import subprocess
import time
from collections.abc import Iterator
from functools import cached_property

import requests

from tests.deploy.engine import run
from tests.deploy.manifests import Manifest, containers, cpus, gibibytes, pod

FIELDS = {
    *("name", "image", "command", "env", "envFrom", "ports", "resources", "volumeMounts"),
    *("securityContext", "startupProbe", "livenessProbe", "readinessProbe", "lifecycle"),
    "restartPolicy",
}
HARDENED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
READY_TRIES = 12  # a kubelet has no limit
AS_DOCKER_DOES = (
    "--no-healthcheck",  # the image's own, of which a kubelet takes no notice
    *("--read-only", "--cap-drop", "ALL"),
    *("--security-opt", "no-new-privileges"),
)


class Pod:
    """The Pod of rendered manifests, under a name on the engine, in a network of its own."""

    def __init__(self, name: str, manifests: list[Manifest]) -> None:
        self.name = name
        self.spec = pod(manifests)
        self.containers = containers(self.spec)
        self._maps = {
            one["metadata"]["name"]: one["data"] for one in manifests if one["kind"] == "ConfigMap"
        }
        user = self.spec["securityContext"]
        self._group = str(user["fsGroup"])
        self._user = f"{user['runAsUser']}:{user['runAsGroup']}"

    def of(self, container: str) -> str:
        """The engine's name of a container."""
        return f"{self.name}-{container}"

    def start(self) -> None:
        """Start the containers in turn, once the one before has ended or passes its probe.

        Raises:
            AssertionError: one never passes; with the last lines of its log.
        """
        image = next(iter(self.containers.values()))["image"]
        run("docker", "network", "create", "--internal", self.name)  # nothing leaves
        pause = ("--name", self.of("pause"), "--network", self.name, "--ipc", "shareable")
        sleep = ("--no-healthcheck", "--entrypoint", "sleep", image, "infinity")
        run("docker", "run", "--detach", *pause, *sleep)
        for volume in self.spec["volumes"]:
            self._make(volume, image)
        for one in self.containers.values():
            self._start(one)

    def replace(self, container: str) -> None:
        """Kill a container and have another take its place: what a kubelet's restart is."""
        run("docker", "rm", "--force", self.of(container))
        self._start(self.containers[container])

    def _start(self, one: Manifest) -> None:
        if "startupProbe" in one:
            self._run(one, "--detach")
            self._wait(one, "startupProbe", one["startupProbe"]["failureThreshold"])
        elif "readinessProbe" in one:
            self._run(one, "--detach")
            self._wait(one, "readinessProbe", READY_TRIES)
        else:
            self._run(one)  # to its end

    @cached_property
    def address(self) -> str:
        """The Pod's address, which the engine's machine reaches too."""
        return str(self.inspect("pause")["NetworkSettings"]["Networks"][self.name]["IPAddress"])

    def inspect(self, container: str) -> Manifest:
        """What the engine knows of a container."""
        found: Manifest = json.loads(run("docker", "inspect", self.of(container)))[0]
        return found

    def execute(self, container: str, *words: str) -> str:
        """What a command in a container writes."""
        return run("docker", "exec", self.of(container), *words)

    def _make(self, volume: Manifest, image: str) -> None:
        """An emptyDir as a kubelet lays it: everybody's, and of the Pod's group."""
        assert set(volume) == {"name", "emptyDir"}
        run("docker", "volume", "create", self.of(volume["name"]))
        mount = f"type=volume,source={self.of(volume['name'])},target=/volume,volume-nocopy"
        script = f"chown 0:{self._group} /volume && chmod 2777 /volume"
        root = ("docker", "run", "--rm", "--user", "0", "--mount", mount, "--entrypoint", "sh")
        run(*root, image, "-c", script)

    def _run(self, one: Manifest, *options: str) -> None:
        assert one.keys() <= FIELDS
        assert one["securityContext"] == HARDENED
        program, *arguments = one["command"]
        limits, requests_ = one["resources"]["limits"], one["resources"]["requests"]
        memory = str(int(gibibytes(limits["memory"]) * 2**30))
        run(
            *("docker", "run", *options, "--name", self.of(one["name"]), *AS_DOCKER_DOES),
            *(
                "--network",
                f"container:{self.of('pause')}",
                "--ipc",
                f"container:{self.of('pause')}",
            ),
            *("--user", self._user, "--group-add", self._group, "--entrypoint", program),
            *("--memory", memory, "--memory-swap", memory),
            *("--cpu-shares", str(int(cpus(requests_["cpu"]) * 1024))),
            *(("--cpus", limits["cpu"]) if "cpu" in limits else ()),
            *(word for pair in self._environment(one) for word in ("--env", "=".join(pair))),
            *(word for mount in self._mounts(one) for word in ("--mount", mount)),
            *(one["image"], *arguments),
        )

    def _mounts(self, one: Manifest) -> Iterator[str]:
        for mount in one["volumeMounts"]:
            source = f"type=volume,source={self.of(mount['name'])},target={mount['mountPath']}"
            yield source + ",volume-nocopy" + (",readonly" if mount.get("readOnly") else "")

    def _environment(self, one: Manifest) -> Iterator[tuple[str, str]]:
        for source in one.get("envFrom", []):
            if "configMapRef" in source:
                yield from self._maps[source["configMapRef"]["name"]].items()
            else:
                assert source["secretRef"]["optional"], "there are no secrets here"
        for variable in one.get("env", []):
            if "value" in variable:
                yield variable["name"], variable["value"]
            else:
                asked = variable["valueFrom"]["resourceFieldRef"]
                what, kind = asked["resource"].split(".")
                value = self.containers[asked["containerName"]]["resources"][what][kind]
                assert kind == "cpu"
                yield variable["name"], str(math.ceil(cpus(value)))

    def probe(self, one: Manifest, kind: str) -> bool:
        """Whether a container's probe passes, asked once."""
        probe = one[kind]
        within_s = probe.get("timeoutSeconds", 1)
        try:
            if "exec" in probe:
                command = ["docker", "exec", self.of(one["name"]), *probe["exec"]["command"]]
                done = subprocess.run(command, capture_output=True, timeout=within_s, check=False)
                return done.returncode == 0
            asked = probe.get("httpGet") or probe["tcpSocket"]
            port = {port["name"]: port["containerPort"] for port in one["ports"]}[asked["port"]]
            if "httpGet" in probe:
                url = f"http://{self.address}:{port}{asked['path']}"
                return requests.get(url, timeout=within_s, allow_redirects=False).status_code < 400
            socket.create_connection((self.address, port), within_s).close()
        except (OSError, subprocess.TimeoutExpired):
            return False
        return True

    def _wait(self, one: Manifest, kind: str, tries: int) -> None:
        for _ in range(tries):
            time.sleep(one[kind]["periodSeconds"])
            if self.probe(one, kind):
                return
        raise AssertionError(run("docker", "logs", "--tail", "40", self.of(one["name"])))

    def stop(self) -> float:
        """End the containers: the page after its hook, then what began before it, backwards.

        Returns:
            The seconds that were left of the Pod's grace.
        """
        end = time.monotonic() + self.spec["terminationGracePeriodSeconds"]
        sidecars = [one for one in self.spec["initContainers"] if "restartPolicy" in one]
        for one in [*self.spec["containers"], *reversed(sidecars)]:
            time.sleep(
                one.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
            )
            left = math.ceil(end - time.monotonic())
            run("docker", "stop", "-t", str(max(left, 2)), self.of(one["name"]))
        return end - time.monotonic()

    def remove(self) -> None:
        """Take away all that `start` made."""
        for one in [*self.containers, "pause"]:
            run("docker", "rm", "--force", self.of(one), check=False)
        for volume in self.spec["volumes"]:
            run("docker", "volume", "rm", "--force", self.of(volume["name"]), check=False)
        run("docker", "network", "rm", self.name, check=False)
