"""GPU clusters: a model is spread over GPUs by a plan."""
