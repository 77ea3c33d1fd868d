"""Trackers of experiments, W&B, MLflow or trackio, which a run reports its numbers to beside its own files."""
