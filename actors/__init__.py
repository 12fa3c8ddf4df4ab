"""The code of a worker that holds a model. It knows nothing of paths or object storage."""
