"""The dataflow: plan, read, order, prompt, score, put, fuse, rank, commit. It knows nothing of vLLM."""
