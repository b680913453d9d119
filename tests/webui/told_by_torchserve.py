"""What a real TorchServe 0.12 told of itself after some captions, in the prometheus mode."""

METRICS = """\
# HELP Requests4XX Torchserve prometheus counter metric with unit: Count
# TYPE Requests4XX counter
Requests4XX{Level="Host",Hostname="vm",} 1.0
# HELP Requests2XX Torchserve prometheus counter metric with unit: Count
# TYPE Requests2XX counter
Requests2XX{Level="Host",Hostname="vm",} 26.0
# HELP ts_queue_latency_microseconds Torchserve prometheus counter metric with unit: Microseconds
# TYPE ts_queue_latency_microseconds counter
ts_queue_latency_microseconds{model_name="captioner",model_version="default",hostname="vm",} 67839.5
# HELP GPUMemoryUsed Torchserve prometheus gauge metric with unit: Megabytes
# TYPE GPUMemoryUsed gauge
# HELP QueueTime Torchserve prometheus gauge metric with unit: Milliseconds
# TYPE QueueTime gauge
QueueTime{Level="Host",Hostname="vm",} 10.0
# HELP ts_inference_latency_microseconds Torchserve prometheus counter metric
# TYPE ts_inference_latency_microseconds counter
ts_inference_latency_microseconds{model_name="captioner",model_version="default",hostname="vm",} 9e5
ts_inference_latency_microseconds{model_name="captioner",model_version="1.1",hostname="vm",} 1e5
# HELP ts_inference_requests_total Torchserve prometheus counter metric with unit: Count
# TYPE ts_inference_requests_total counter
ts_inference_requests_total{model_name="captioner",model_version="default",hostname="vm",} 8.0
ts_inference_requests_total{model_name="captioner",model_version="1.1",hostname="vm",} 1.0
# HELP Requests5XX Torchserve prometheus counter metric with unit: Count
# TYPE Requests5XX counter
"""

VERSION = {
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
