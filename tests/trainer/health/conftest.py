from tests.trainer.health.nvml import gpu, nvml

__all__ = ["gpu", "nvml"]
