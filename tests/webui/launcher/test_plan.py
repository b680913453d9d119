"""What the launcher reads and checks before it starts anything."""

from __future__ import annotations

import errno
import os
import socket
import stat
import zipfile
from pathlib import Path

import pytest

from webui.launcher.plan import (
    LaunchError,
    Listener,
    Plan,
    check,
    read_properties,
    run_folder,
    shown,
)
from webui.web.settings import ROOT


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.properties"
    path.write_text("# a comment=1\n\nload_models=captioner.mar\nvmargs=-Xmx1g -Xss1m\n")
    return path


@pytest.fixture
def store(tmp_path: Path) -> Path:
    folder = tmp_path / "store"
    folder.mkdir()
    with zipfile.ZipFile(folder / "captioner.mar", "w") as archive:
        archive.writestr("MAR-INF/MANIFEST.json", "{}")
    return folder


@pytest.fixture(autouse=True)
def environ(tmp_path: Path, config: Path, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TS_CONFIG_FILE", str(config))
    monkeypatch.setenv("CAPTIONIZE_MODEL_STORE", str(store))
    monkeypatch.setenv("CAPTIONIZE_RUN_DIR", str(tmp_path / "run"))


@pytest.fixture
def plan() -> Plan:
    return Plan.from_environment()


def test_defaults_are_those_of_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TS_CONFIG_FILE", "CAPTIONIZE_MODEL_STORE", "CAPTIONIZE_RUN_DIR"):
        monkeypatch.delenv(name)
    plan = Plan.from_environment()
    assert plan.page.url == "http://127.0.0.1:8000"
    assert {key: listener.url for key, listener in plan.torchserve.items()} == {
        "inference_address": "http://127.0.0.1:8080",
        "management_address": "http://127.0.0.1:8081",
        "metrics_address": "http://127.0.0.1:8082",
        "grpc_inference_port": "http://127.0.0.1:7070",
        "grpc_management_port": "http://127.0.0.1:7071",
    }
    assert plan.archives == (ROOT / "model_store" / "captioner.mar",)
    assert plan.run_dir == ROOT / "run"
    assert plan.settings.workers is None


def test_properties(config: Path, plan: Plan) -> None:
    assert read_properties(config) == {
        "load_models": "captioner.mar",
        "vmargs": "-Xmx1g -Xss1m",
    }
    assert plan.vmargs == ("-Xmx1g", "-Xss1m")


def test_a_variable_wins_over_torchserve_s_and_that_over_the_file(
    monkeypatch: pytest.MonkeyPatch, config: Path
) -> None:
    config.write_text("inference_address=http://10.0.0.1:1111\ngrpc_inference_address=10.0.0.2\n")

    def inference() -> Listener:
        return Plan.from_environment().torchserve["inference_address"]

    assert inference().authority == "10.0.0.1:1111"
    monkeypatch.setenv("TS_INFERENCE_ADDRESS", "http://0.0.0.0:2222")
    assert inference().authority == "0.0.0.0:2222"
    assert inference().url == "http://127.0.0.1:2222"
    monkeypatch.setenv("CAPTIONIZE_INFERENCE_PORT", "3333")
    assert inference().authority == "0.0.0.0:3333"
    grpc = Plan.from_environment().torchserve["grpc_inference_port"]
    assert grpc.authority == "10.0.0.2:7070"


def test_an_address_of_version_6_has_brackets() -> None:
    assert Listener("CAPTIONIZE_PORT", "::", 8000).url == "http://[::1]:8000"


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("CAPTIONIZE_PORT", "web", "CAPTIONIZE_PORT: expected a whole number"),
        ("CAPTIONIZE_WORKERS", "0", "CAPTIONIZE_WORKERS: expected a whole number"),
        ("TS_METRICS_ADDRESS", "here", "metrics_address: expected an address such as http"),
        ("TS_METRICS_ADDRESS", "http://a:99999", "metrics_address: expected an address"),
        ("TS_METRICS_ADDRESS", "http://a", "metrics_address: expected an address"),
        ("TS_CONFIG_FILE", "missing.properties", "cannot be read: No such file"),
    ],
)
def test_a_wrong_value_is_named(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, message: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(LaunchError, match=message):
        Plan.from_environment()


def test_an_empty_variable_is_as_one_that_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAPTIONIZE_WORKERS", "")
    monkeypatch.setenv("CAPTIONIZE_METRICS_PORT", "")
    plan = Plan.from_environment()
    assert plan.settings.workers is None
    assert plan.torchserve["metrics_address"].port == 8082


@pytest.mark.parametrize("models", ["a=captioner.mar", " captioner.mar ,"])
def test_names_of_archives(monkeypatch: pytest.MonkeyPatch, store: Path, models: str) -> None:
    monkeypatch.setenv("TS_LOAD_MODELS", models)
    assert Plan.from_environment().archives == (store / "captioner.mar",)


def test_all_names_no_archive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TS_LOAD_MODELS", "ALL")
    assert Plan.from_environment().archives == ()


def test_a_missing_archive(plan: Plan) -> None:
    plan.archives[0].unlink()
    with pytest.raises(LaunchError, match=r"captioner\.mar is missing.*CAPTIONIZE_MODEL_STORE"):
        check(plan, [])


def test_half_an_archive(plan: Plan) -> None:
    plan.archives[0].write_bytes(b"version of something else")
    with pytest.raises(LaunchError, match="not a complete model archive"):
        check(plan, [])


def test_ports_in_use_are_all_named(plan: Plan) -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("", 0)) as two:
        listeners = [
            Listener("CAPTIONIZE_PORT", "127.0.0.1", one.getsockname()[1]),
            Listener("CAPTIONIZE_METRICS_PORT", "127.0.0.1", two.getsockname()[1]),
        ]
        with pytest.raises(LaunchError) as caught:
            check(plan, listeners)
        problems = str(caught.value).splitlines()
        for listener, problem in zip(listeners, problems, strict=True):
            assert problem.startswith(f"Port {listener.port} is in use.")
            assert f" {listener.variable} " in problem
    check(plan, listeners)


def test_one_port_for_two(plan: Plan) -> None:
    with pytest.raises(LaunchError, match=r"^Port 20000 is in use\..* TWO "):
        check(plan, [Listener("ONE", "127.0.0.1", 20000), Listener("TWO", "127.0.0.1", 20000)])


def test_an_address_of_version_6_is_tried(plan: Plan) -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as used:
        listener = Listener("CAPTIONIZE_PORT", "::1", used.getsockname()[1])
        with pytest.raises(LaunchError, match="in use"):
            check(plan, [listener])
    check(plan, [listener])


def test_an_address_that_is_not_this_machine_s(plan: Plan) -> None:
    with pytest.raises(LaunchError, match=r"192\.0\.2\.1.*the host"):
        check(plan, [Listener("CAPTIONIZE_PORT", "192.0.2.1", 8000)])


def test_a_run_folder_too_deep_for_sockets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CAPTIONIZE_RUN_DIR", str(tmp_path / ("x" * 100)))
    with pytest.raises(LaunchError, match="too long a path"):
        check(Plan.from_environment(), [])


def test_the_run_folder_holds_only_logs_afterwards(plan: Plan) -> None:
    for _ in range(2):
        with run_folder(plan):
            assert stat.S_IMODE(plan.run_dir.stat().st_mode) == 0o700
            assert list(plan.scratch.iterdir()) == []
            (plan.scratch / "models").mkdir()
            plan.key_file.write_text("{}")
            (plan.logs / "page.log").write_text("kept")
        assert [path.name for path in plan.run_dir.iterdir()] == ["logs"]
        assert (plan.logs / "page.log").read_text() == "kept"


def test_what_a_killed_launcher_left_is_removed(plan: Plan) -> None:
    plan.scratch.mkdir(parents=True)
    (plan.scratch / ".ts.sock.9000").touch()
    plan.key_file.write_text("old keys")
    with run_folder(plan):
        assert not plan.key_file.exists()
        assert list(plan.scratch.iterdir()) == []


def test_a_second_launcher_in_the_same_folder_changes_nothing(plan: Plan) -> None:
    with run_folder(plan):
        plan.key_file.write_text("in use")
        with pytest.raises(LaunchError, match="Another Captionize runs in"), run_folder(plan):
            pass
        assert plan.key_file.read_text() == "in use"


def test_a_full_disk(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    def allocate(file: int, offset: int, size: int) -> None:
        assert size > 2 * plan.archives[0].stat().st_size
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", allocate)
    with pytest.raises(LaunchError, match="No space left on device"), run_folder(plan):
        pass
    assert not plan.scratch.exists()


def test_a_folder_that_cannot_be_made(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(LaunchError, match="Permission denied"), run_folder(plan):
        pass


def test_a_file_in_the_place_of_the_run_folder(plan: Plan) -> None:
    plan.run_dir.write_text("a file")
    with pytest.raises(LaunchError, match="File exists"), run_folder(plan):
        pass


def test_paths_are_shown_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert shown(tmp_path / "run" / "logs") == "run/logs"
    assert shown(Path("/elsewhere")) == "/elsewhere"


@pytest.mark.parametrize("listed", ["mine.mar", "mine=mine.mar"])
def test_a_model_that_is_not_the_one_to_caption(
    plan: Plan, store: Path, config: Path, listed: str
) -> None:
    with zipfile.ZipFile(store / "mine.mar", "w") as archive:
        archive.writestr("MAR-INF/MANIFEST.json", '{"model": {"modelName": "mine"}}')
    config.write_text(f"load_models={listed}\n")
    changed = Plan.from_environment()
    with pytest.raises(LaunchError, match=r"loads mine, but captioner.*captioner=mine\.mar"):
        check(changed, [])
    config.write_text("load_models=captioner=mine.mar\n")
    check(Plan.from_environment(), [])
    config.write_text(f"load_models={listed}\n")
    changed.state_dir.mkdir(parents=True)
    (changed.state_dir / "desired.json").touch()
    check(changed, [])
