"""The simulated fleet against queueing theory, and against itself."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from benchmarks.fleet.costs import million
from benchmarks.fleet.measuring import batches
from benchmarks.fleet.scenario import Arrivals, Autoscaler, Fleet, Outcome, Scenario
from benchmarks.fleet.simulation import BatchSeconds, Machine, Tally
from benchmarks.fleet.times import Layout, Measured
from benchmarks.fleet.validation import Comparison, Figures, simulate
from benchmarks.pictures import draw_pictures

ROOT = Path(__file__).resolve().parents[2]
NEVER = 1e12  # seconds
ALONE = Autoscaler(load=NEVER, waiting=10**9)


def always(seconds: float) -> BatchSeconds:
    return lambda size, rng: seconds


def at_random(seconds: float) -> BatchSeconds:
    return lambda size, rng: rng.expovariate(1 / seconds)


def run(machine: Machine, rate: float, seconds: float, **changes: object) -> Outcome:
    """One replica under Poisson arrivals, unless `changes` say otherwise."""
    plain = Scenario(machine, Arrivals(rate, burst=1), ALONE, seconds, mtbf_s=NEVER, seed=1)
    return Fleet(replace(plain, **changes)).run()  # type: ignore[arg-type]


def mean(tally: Tally) -> float:
    return sum(tally.seconds) / tally.captioned


def one_by_one(batch_s: BatchSeconds, workers: int = 1, places: float = math.inf) -> Machine:
    return Machine("theory", batch_s, workers, batch_size=1, delay_s=0, places=places)


@pytest.mark.parametrize("use", [0.5, 0.8])
def test_waits_are_those_of_one_server_with_fixed_times(use: float) -> None:
    """M/D/1: Pollaczek and Khinchin."""
    tally = run(one_by_one(always(1.0)), use, 20_000).tally
    assert mean(tally) == pytest.approx(1 + use / (2 * (1 - use)), rel=0.05)


@pytest.mark.parametrize("use", [0.5, 0.8])
def test_waits_are_those_of_one_server_with_random_times(use: float) -> None:
    """M/M/1, whose 95 of 100 are known as well."""
    tally = run(one_by_one(at_random(1.0)), use, 20_000).tally
    assert mean(tally) == pytest.approx(1 / (1 - use), rel=0.08)
    assert tally.percentile(0.95) == pytest.approx(math.log(20) / (1 - use), rel=0.08)


def test_waits_are_those_of_two_servers() -> None:
    """M/M/2: Erlang's formula."""
    tally = run(one_by_one(at_random(1.0), workers=2), 1.6, 15_000).tally
    assert mean(tally) == pytest.approx(1 / (1 - 0.8**2), rel=0.08)


def test_refusals_are_those_of_a_short_queue() -> None:
    """M/M/1/K with one in service and three places: p^4 (1 - p) / (1 - p^5)."""
    tally = run(one_by_one(at_random(1.0), places=3), 0.9, 15_000).tally
    expected = 0.9**4 * (1 - 0.9) / (1 - 0.9**5)
    assert tally.refused / tally.arrived == pytest.approx(expected, rel=0.06)


def test_a_saturated_worker_is_as_fast_as_its_full_batches() -> None:
    machine = Machine("full", lambda size, rng: 0.02 + 0.01 * size)
    outcome = run(machine, 200, 200)
    assert outcome.tally.captioned / 200 == pytest.approx(8 / 0.1, rel=0.02)
    assert machine.capacity == pytest.approx(80)
    assert outcome.left <= 64 + 2 * 8


def test_a_lone_request_waits_for_the_whole_delay() -> None:
    machine = Machine("lone", always(0.05), delay_s=0.01)
    assert run(machine, 0.01, 20_000).tally.percentile(0.5) == pytest.approx(0.06)


def test_a_batch_gathers_who_comes_within_the_delay() -> None:
    """Three clients who come again within milliseconds, and a longer or a shorter delay."""
    longer, shorter = (Machine("gathers", always(1.0), delay_s=s) for s in (0.1, 0.0001))
    assert simulate(longer, MADE_UP, 3, 1000, 0).rate == pytest.approx(3 / 1.1, rel=0.01)
    assert simulate(shorter, MADE_UP, 3, 1000, 0).rate < 2


def test_the_page_reads_one_picture_after_another() -> None:
    machine = Machine("page", always(0.001), page_s=0.01, batch_size=100)
    assert run(machine, 150, 100).tally.captioned / 100 == pytest.approx(100, rel=0.01)
    assert machine.stages() == {"page": pytest.approx(100), "workers": pytest.approx(100_000)}


BUSY = Scenario(
    Machine(
        "busy",
        lambda size, rng: rng.uniform(0.8, 1.2) * (0.02 + 0.01 * size),
        places=20,
        page_s=0.004,
    ),
    Arrivals(150, burst=3, burst_s=20, calm_s=10),
    Autoscaler(load=50, ready_s=20),
    seconds=60,
    mtbf_s=20,
)


@pytest.mark.parametrize("seed", range(3))
def test_every_request_is_somewhere(seed: int) -> None:
    outcome = Fleet(replace(BUSY, seed=seed)).run()
    tally = outcome.tally
    assert tally.arrived == tally.captioned + tally.refused + tally.failed + outcome.left
    assert min(tally.captioned, tally.refused, tally.failed) > 0
    assert min(tally.seconds) >= 0.8 * 0.03 + 0.004 + 0.001 - 1e-9


def test_a_seed_decides_everything() -> None:
    first, second, other = (Fleet(replace(BUSY, seed=seed)).run() for seed in (1, 1, 2))
    assert first == second
    assert first != other


def test_bursts_keep_the_mean() -> None:
    phases = Arrivals(100, burst=5, burst_s=10, calm_s=30).phases(random.Random(0))
    some = [next(phases) for _ in range(4_000)]
    requests, seconds = sum(rate * length for rate, length in some), sum(s for _, s in some)
    assert requests / seconds == pytest.approx(100, rel=0.04)
    assert some[1][0] == pytest.approx(5 * some[0][0])


def test_replicas_come_when_they_are_ready_and_no_faster_than_allowed() -> None:
    """Ten are missing; two a minute may come, from the first look after 15 s on."""
    scaler = Autoscaler(load=10, ready_s=30)
    machine = Machine("scaled", always(0.01))
    one = Scenario(machine, Arrivals(120, burst=1), scaler, mtbf_s=NEVER)

    def there(seconds: float, **changes: float) -> int:
        fleet = Fleet(replace(one, seconds=seconds, scaler=replace(scaler, **changes)))
        fleet.replicas = []
        for _ in range(2):
            fleet._add()
        fleet.env.process(fleet._scale())
        fleet.env.process(fleet._arrive())
        fleet.env.run(until=seconds)
        return len(fleet.replicas)

    assert [there(seconds) for seconds in (44, 46, 104, 106)] == [2, 4, 4, 6]
    assert there(46, share=2.0) == 6
    assert there(106, most=5) == 5


def test_too_many_replicas_go_one_by_one_and_finish_first() -> None:
    scaler = Autoscaler(load=10, calm_s=300)
    machine = Machine("calm", always(0.01))
    fleet = Fleet(Scenario(machine, Arrivals(5, burst=1), scaler, 1000, mtbf_s=NEVER))
    for _ in range(4):
        fleet._add()
    outcome = fleet.run()
    assert len(fleet.replicas) == 1
    assert outcome.tally.failed == outcome.tally.refused == 0
    assert outcome.replica_s == pytest.approx(300 * 5 + 60 * (4 + 3 + 2) + 520, abs=40)


def test_the_less_busy_of_two_waits_less_than_any() -> None:
    one = Scenario(BUSY.machine, Arrivals(300, burst=1), Autoscaler(load=55), 40, mtbf_s=NEVER)
    any_, two = (Fleet(replace(one, choices=choices)).run().tally for choices in (1, 2))
    assert two.percentile(0.99) < any_.percentile(0.99)


def test_the_autoscaler_is_that_of_the_manifest() -> None:
    path = ROOT / "deploy" / "kubernetes" / "autoscaling" / "scaledobject.yaml"
    spec = yaml.safe_load(path.read_text(encoding="utf-8"))["spec"]
    behaviour = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    scaler = Autoscaler(load=1)
    waiting, rate = (one["metadata"] for one in spec["triggers"])
    assert scaler.every_s == spec["pollingInterval"]
    assert str(scaler.waiting) == waiting["threshold"]
    assert f"[{scaler.window_s / 60:.0f}m]" in rate["query"]
    assert behaviour["scaleUp"]["policies"] == [
        {"type": "Pods", "value": scaler.up, "periodSeconds": 60}
    ]
    assert behaviour["scaleDown"] == {
        "stabilizationWindowSeconds": scaler.calm_s,
        "policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}],
    }


def test_a_replica_is_set_as_the_service_is() -> None:
    config = yaml.safe_load((ROOT / "handler" / "model-config.yaml").read_text(encoding="utf-8"))
    properties = (ROOT / "config.properties").read_text(encoding="utf-8")
    machine = Machine("plain", always(1))
    assert machine.batch_size == config["batchSize"]
    assert 1000 * machine.delay_s == config["maxBatchDelay"]
    assert f"job_queue_size={machine.places}\n" in properties


MADE_UP = Measured(
    machine="none",
    cores=2,
    batches={"1 x 1": {"4": [0.1]}, "2 x 1": {"4": [0.2]}},
    overhead_s=0.002,
    java_s=0.001,
    client_s=0.0002,
    page_s=0.003,
    decode_s=0.001,
    picture_bytes=50_000,
)


def test_what_goes_beside_a_batch_counts_where_all_cores_compute() -> None:
    rng = random.Random(0)
    assert MADE_UP.batch_s(Layout(1, 1), 0.001, rng, 4) == pytest.approx(0.102)
    assert MADE_UP.batch_s(Layout(2, 1), 0.001, rng, 4) == pytest.approx(0.206)


def test_what_is_measured_is_read_as_it_was_saved(tmp_path: Path) -> None:
    MADE_UP.write(tmp_path / "a.json")
    assert Measured.read(tmp_path / "a.json") == MADE_UP
    kept = Measured.read()
    for layout in ("1 x 1", "2 x 1", f"1 x {kept.cores}"):
        assert kept.batches[layout].keys() == {str(size) for size in range(1, 9)}


@pytest.mark.parametrize(
    ("rate", "p95_s", "holds"),
    [(109, 1.24, True), (91, 0.76, True), (111, 1, False), (89, 1, False), (100, 1.26, False)],
)
def test_a_simulation_holds_within_its_bounds(rate: float, p95_s: float, holds: bool) -> None:
    simulated = Figures(rate, p95_s)
    assert Comparison(Layout(1, 1), 4, Figures(100, 1.0), simulated).holds == holds


def test_a_million_captions() -> None:
    assert million(price=0.36, rate=100, use=1.0) == pytest.approx(1.0)


@pytest.mark.slow
def test_larger_batches_take_longer_and_a_picture_in_them_less(tmp_path: Path) -> None:
    pictures = [file.read_bytes() for file in draw_pictures(tmp_path / "drawn", 10)]
    times = batches(Layout(1, 1), pictures, 0.5)
    middle = {int(size): marks[len(marks) // 2] for size, marks in times.items()}
    assert middle.keys() == set(range(1, 9))
    assert middle[1] < middle[8] < 8 * middle[1]
