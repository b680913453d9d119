"""Training one model in several processes that torchrun starts, each with its share of a batch.

In a single process, every function here does nothing or returns what it got, so that the trainer
need not distinguish.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

T = TypeVar("T")

# The others wait while one process captions the dev split or computes features.
TIMEOUT = timedelta(hours=3)


@contextmanager
def process_group(device: torch.device) -> Iterator[torch.device]:
    """Join the processes that torchrun started, if it did; gives this process's own device.

    Args:
        device: what was chosen for all; of several GPUs, each process takes the one of its number.
    """
    if not dist.is_torchelastic_launched():
        yield device
        return
    if device.type == "cuda":
        device = torch.device("cuda", _local_rank())
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=TIMEOUT)
    try:
        yield device
    finally:
        dist.destroy_process_group()


def world_size() -> int:
    """How many processes train."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """The number of this process among all."""
    return dist.get_rank() if dist.is_initialized() else 0


def is_main() -> bool:
    """Whether this process evaluates, writes and reports; just one does."""
    return rank() == 0


def total(value: Tensor) -> Tensor:
    """The sum of a tensor over all processes, without gradient."""
    value = value.detach().clone()
    if world_size() > 1:
        dist.all_reduce(value)
    return value


def broadcast(value: T) -> T:
    """What the main process has, in all of them."""
    if world_size() == 1:
        return value
    values = [value if is_main() else None]
    dist.broadcast_object_list(values)
    return values[0]  # type: ignore[return-value]


@contextmanager
def one_per_machine() -> Iterator[None]:
    """Let one process of each machine through first: what it writes, the others find."""
    waits = world_size() > 1 and _local_rank() > 0
    if waits:
        dist.barrier()
    yield
    if world_size() > 1 and not waits:
        dist.barrier()


def replicate(module: nn.Module, device: torch.device, *, partly_used: bool) -> nn.Module:
    """``module`` with gradients averaged over all processes (DistributedDataParallel).

    Args:
        partly_used: some trainable weights may have no part in the loss.
    """
    if world_size() == 1:
        return module
    return DistributedDataParallel(
        module,
        device_ids=[device] if device.type == "cuda" else None,
        broadcast_buffers=False,  # none ever changes
        find_unused_parameters=partly_used,
    )


def _local_rank() -> int:
    return int(os.environ["LOCAL_RANK"])
