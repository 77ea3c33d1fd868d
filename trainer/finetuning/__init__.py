"""Fine-tuning on a task: its clips are learned, validated on, and tested once with the best weights."""
