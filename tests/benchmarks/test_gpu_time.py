from typing import Any

import pytest

from surgstream.benchmarks.experiments.gpu_time import shares


def ran(
    name: str, stream: int, start: float, seconds: float, category: str = "kernel"
) -> dict[str, Any]:
    return {"cat": category, "name": name, "ts": start, "dur": seconds, "args": {"stream": stream}}


def test_streams_of_dali_decode_and_the_rest_is_the_model_s() -> None:
    events = [
        {"cat": "cpu_op", "name": "aten::mm", "ts": -50.0, "dur": 500.0},
        ran("gemm", 7, 0.0, 40.0),
        ran("Memcpy HtoD", 9, 35.0, 10.0, "gpu_memcpy"),
        ran("void dali::kernels::Resample", 9, 45.0, 5.0),
        ran("gemm", 7, 60.0, 30.0),
        ran("ncclDevKernel_AllReduce", 11, 70.0, 30.0),
    ]
    assert shares(events) == pytest.approx(
        {"model": 0.7, "decode": 0.15, "communication": 0.3, "decode alone": 0.1, "idle": 0.1}
    )


def test_a_trace_without_a_gpu_is_refused() -> None:
    with pytest.raises(ValueError, match="expected kernels"):
        shares([{"cat": "cpu_op", "name": "aten::mm", "ts": 0.0, "dur": 1.0}])
