"""The one line that the person on call reads."""

from pipeline.errors import RefusedError, StoreError, UsageError, find_root_cause, read_worker_error

TASK_ERROR = """ray::MapWorker(MapBatches(Scorer)).submit() (pid=1, ip=192.0.2.2)
  File "/srv/actors/engine.py", line 8, in step
    raise RuntimeError("out of memory")
RuntimeError: out of memory

The above exception was the direct cause of the following exception:

ray.exceptions.UserCodeException: UDF failed to process a data block.
Failed to apply UDF transform after 1/1 attempts (total backoff 0.0s).
"""


def test_of_a_ray_error_what_the_worker_raised() -> None:
    assert find_root_cause(Exception(TASK_ERROR)) == "RuntimeError: out of memory"
    assert find_root_cause(Exception("The actor died\nvllm.exceptions.VLLMError: no GPU\n")) == (
        "vllm.exceptions.VLLMError: no GPU"
    )
    pydantic = (
        "ray::MapWorker\npydantic_core.ValidationError: 1 error for ModelConfig\ndtype\n  Unknown dtype: f3\n\nmore"
    )
    assert find_root_cause(Exception(pydantic)) == (
        "pydantic_core.ValidationError: 1 error for ModelConfig dtype Unknown dtype: f3"
    )


def test_of_any_other_error_its_kind_and_its_words_on_one_line() -> None:
    assert find_root_cause(OSError("disk full:\n  /dev/sda")) == "OSError: disk full: /dev/sda"


def test_a_run_error_of_a_worker_comes_back_as_itself() -> None:
    for kind in (UsageError, StoreError, RefusedError):
        text = TASK_ERROR.replace("RuntimeError: out", f"pipeline.errors.{kind.__name__}: s3://b/x: cannot be: out")
        error = read_worker_error(Exception(text))
        assert type(error) is kind and str(error) == "s3://b/x: cannot be: out of memory"
    assert read_worker_error(Exception(TASK_ERROR)) is None
