"""The part that Ray has: actors on one machine or many, which get groups of pictures to caption."""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from training.batch_inference.captioning import Captioning, Job
from training.common.errors import OptionError, UserError

# Of a local Ray. What goes through it is names of files, so that it needs little.
OBJECT_STORE_BYTES = 100_000_000


@contextmanager
def joined(address: str | None) -> Iterator[None]:
    """Start Ray on this machine, or join the cluster at ``address``, until the block ends.

    Raises:
        UserError: Ray does not start, or there is no cluster.
    """
    # Otherwise Ray would build its workers an environment of their own where uv started this.
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    # It calls an error that actors may be restarted at all.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to anybody
    if address is None:  # It listens to the network, but takes orders from its own processes alone.
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    import ray  # which reads these
    import ray.data

    logging.getLogger("ray.data").setLevel(logging.ERROR)
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address is None:
        options |= {"include_dashboard": False, "object_store_memory": OBJECT_STORE_BYTES}
        # A local Ray, whatever RAY_ADDRESS says: to join a cluster is to be asked for.
        address = "local"
    try:
        ray.init(address, **options)
    except Exception as error:  # Ray raises whatever it likes, a bare Exception too
        where = "did not start here" if address == "local" else f"is not at {address}"
        raise UserError(f"Ray {where}: {error}") from error
    try:
        yield
    finally:
        ray.shutdown()


def spread(groups: Sequence[list[str]], job: Job, workers: int | None) -> Iterator[dict[str, Any]]:
    """Have actors caption the groups; yields what each comes to, in the order they are finished.

    Ray starts a lost actor again, and gives its group to it or to another, as often as it takes.
    Only names go to the actors and only counts come back: an actor has one batch of pictures in
    memory, however many there are.

    Args:
        workers: actors at the most; None: as many as there is room for.

    Raises:
        OptionError: there is no room for a single actor.
        UserError: an actor cannot work, for example as the model is not on its machine.
    """
    import ray
    from ray.data import ActorPoolStrategy, DataContext

    room = ray.cluster_resources()
    needs = {"num_cpus": job.threads, "num_gpus": int(job.device.startswith("cuda"))}
    most = int(room.get("CPU", 0) // job.threads)
    if needs["num_gpus"]:
        most = min(most, int(room.get("GPU", 0)))
    if not most:
        raise OptionError(
            f"--threads {job.threads} on {job.device}: there is no machine with so much. Ray sees "
            f"{room.get('CPU', 0):.0f} CPUs and {room.get('GPU', 0):.0f} GPUs."
        )
    workers = min(workers or most, most, len(groups))
    context = DataContext.get_current()
    context.enable_progress_bars = False
    rows = ray.data.from_items(
        [{"pictures": group} for group in groups], override_num_blocks=len(groups)
    )
    done = rows.map(
        Captioning,
        fn_constructor_args=(job,),
        # From one: a pool that may shrink gives an idle actor's place to one that lost its own.
        compute=ActorPoolStrategy(min_size=1, max_size=workers, initial_size=workers),
        **needs,
    )
    try:
        yield from done.iter_rows()
    except ray.exceptions.RayError as error:
        raise UserError(
            f"Captioning stopped: {error}. What is written stays; the same command goes on."
        ) from error
