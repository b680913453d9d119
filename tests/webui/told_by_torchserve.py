"""What a real TorchServe 0.12 told of a version and of a GPU."""

from typing import Any

VERSION: dict[str, Any] = {
    "modelName": "captioner",
    "modelVersion": "1.1",
    "modelUrl": "captioner.mar",
    "runtime": "python",
    "minWorkers": 1,
    "maxWorkers": 2,
    "batchSize": 8,
    "maxBatchDelay": 10,
    "loadedAtStartup": True,
    "workers": [
        {
            "id": "9000",
            "startTime": "2026-01-01T12:00:00.500Z",
            "status": "READY",
            "memoryUsage": 400_000_000,
            "pid": 7892,
            "gpu": False,
            "gpuUsage": "N/A",
        },
        {
            "id": "9001",
            "startTime": "2026-01-01T11:00:00.000Z",
            "status": "UNLOADING",
            "memoryUsage": 100_000_000,
            "pid": 7893,
            "gpu": False,
            "gpuUsage": "N/A",
        },
    ],
    "jobQueueStatus": {"remainingCapacity": 60, "pendingRequests": 4},
}

ON_GPU = "gpuId::1 utilization.gpu [%]::37 % utilization.memory [%]::4 % memory.used [MiB]::765 MiB"
