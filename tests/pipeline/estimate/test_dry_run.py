"""Dry runs against what runs count: units are prompted and asked for as a run does it, without Ray and an engine."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actors.worker.pending import Pending
from pipeline.check.preflight import check
from pipeline.cluster.in_process import InProcess
from pipeline.config import Config
from pipeline.errors import UsageError
from pipeline.estimate.dry_run import dry_run
from pipeline.estimate.rate import Rate, make_rate, read_rate
from pipeline.estimate.sizes import Sizes
from pipeline.estimate.text import NO_START, describe_estimate
from pipeline.input.footers import read_first_file
from pipeline.plan.units import Coverage
from pipeline.plan.work import select_work
from pipeline.run import rerank
from pipeline.score.prompt import unpack_unit
from pipeline.score.stream import prompt_task
from pipeline.sizes import Sizes as RunSizes
from tests.fakes import KnownScorer


def pairs(rows: int, seed: int = 0) -> dict[str, Any]:
    """Ten rows of each query side by side; documents of 1 to 200 words, mostly of a few, a tenth of them seen before;
    and one in 50 rows without a document."""
    rng = np.random.default_rng(seed)
    words = np.array(["apple", "river", "of", "night", "x", "running", "42", "the"])
    docs = [" ".join(rng.choice(words, int(rng.lognormal(2, 0.8)) % 200 + 1)) for _ in range(rows)]
    docs = [docs[i // 2] if i % 10 == 9 else doc for i, doc in enumerate(docs)]
    docs = ["" if i % 50 == 7 else doc for i, doc in enumerate(docs)]
    queries = [" ".join(rng.choice(words, 6)) + f" {i // 10}" for i in range(0, rows, 10)]
    return {
        "query": [queries[i // 10] for i in range(rows)],
        "doc": docs,
        "score": rng.random(rows),
    }


def asked(config: Config) -> tuple[int, int]:
    """Tokens that a run's actors would ask their engines to take, unit by unit, and prompts that were truncated."""
    checked = check(config)
    work = select_work(checked.config, read_first_file(config, checked.files), checked.files, Coverage())
    tokens = truncated = 0
    for task in range(work.tasks):
        for unit in prompt_task(task, work, checked.scores, checked.all_scores, RunSizes()):
            prompts = unpack_unit(unit).prompts
            tokens += sum(len(ask.tokens) for ask in Pending(prompts, 1, lambda replies: 0.0).first)
            truncated += sum(prompt.truncated for prompt in prompts)
    return tokens, truncated


@pytest.mark.parametrize("files", [1, 5])
def test_tokens_are_those_that_the_run_would_count(files: int, lb_config: Callable, write_pairs: Callable) -> None:
    """2,000 rows in 40 units, of which 1,024 are drawn from 16."""
    sizes = Sizes(units=16, rows=1024)
    paths = [write_pairs(f"{i}.parquet", 200, **pairs(2000 // files, i)) for i in range(files)]
    config = lb_config(paths, run={"unit_rows": 50, "max_failed": 0.1}, engine={"max_model_len": 240})
    about = dry_run(config, sizes=sizes)
    tokens, truncated = asked(config)
    assert about["pairs"] == 2000 and about["exact"] and about["sampled"]["units"] == 16
    assert about["prompt_tokens"] == pytest.approx(tokens, rel=0.05)
    assert abs(about["prompt_tokens"] - tokens) < 2 * about["prompt_tokens_error"] < 0.2 * tokens
    assert about["truncated"] == pytest.approx(truncated / 1960, rel=0.4) and truncated > 40
    assert about["unusable"] == {"document is empty": pytest.approx(0.02, abs=0.001)}


def test_equal_texts_of_a_unit_count_once(make_config: Callable, write_pairs: Callable) -> None:
    """A bi-encoder's query is one sequence, and here ten rows share it."""
    config = make_config(write_pairs(**pairs(600)), run={"unit_rows": 100, "max_failed": 0.1})
    about = dry_run(config)
    tokens, _ = asked(config)
    lengths = about["tokens_per_prompt"]["mean"] * 588
    assert about["prompt_tokens"] == pytest.approx(tokens, rel=0.01)
    assert lengths > 1.2 * tokens, "queries that count for each of their rows would show"


def test_a_unit_counts_by_its_rows(lb_config: Callable, write_pairs: Callable) -> None:
    """Twenty files of two short rows, and one of ten units of long ones."""
    small = {"query": ["q"] * 2, "doc": ["a", "b"], "score": [1.0, 2.0]}
    large = pairs(500) | {"doc": [f"{i} " + "river of night " * 10 for i in range(500)]}
    paths = [*(write_pairs(f"{i}.parquet", **small) for i in range(20)), write_pairs("large.parquet", **large)]
    config = lb_config(paths, run={"unit_rows": 50})
    about = dry_run(config, sizes=Sizes(units=16, rows=256))
    assert about["prompt_tokens"] == pytest.approx(asked(config)[0], rel=0.1), "with equal units it would be a third"


def test_a_small_input_is_counted_whole(lb_config: Callable, write_pairs: Callable) -> None:
    table = pairs(100) | {"doc": [f"document {i}" for i in range(100)]}
    config = lb_config(write_pairs(**table))
    about = dry_run(config)
    assert (about["prompt_tokens"], about["prompt_tokens_error"]) == (asked(config)[0], 0)


def test_the_draw_is_seeded_and_nothing_is_left_behind(
    lb_config: Callable, write_pairs: Callable, tmp_path: Path
) -> None:
    config = lb_config(write_pairs(**pairs(500)), run={"unit_rows": 10})
    sizes = Sizes(units=8, rows=40)
    assert dry_run(config, sizes=sizes) == dry_run(config, sizes=sizes)
    assert not (tmp_path / "out").exists()


def test_hours_and_cost_by_a_given_rate(lb_config: Callable, write_pairs: Callable) -> None:
    table = pairs(40) | {"doc": ["a document"] * 40}
    config = lb_config(write_pairs(**table), workers={"count": 2, "num_gpus": 1})
    about = dry_run(config, make_rate(1), gpu_hour_price=2.5)
    assert about["worker_hours"] == pytest.approx({"expected": 40 / 3600, "least": 32 / 3600, "most": 48 / 3600})
    assert about["score_seconds"] == pytest.approx(20)
    assert about["cost"]["expected"] == pytest.approx(40 / 3600 * 2.5)
    assert "by pairs: 40 pairs / 1.0 pairs/s of one worker" in "\n".join(describe_estimate(about))


def test_gpus_are_held_while_the_engines_start(lb_config: Callable, write_pairs: Callable) -> None:
    table = pairs(40) | {"doc": ["a document"] * 40}
    config = lb_config(write_pairs(**table), workers={"count": 3, "num_gpus": 2})
    about = dry_run(config, Rate("an earlier run", (1, 1), start=60.0), gpu_hour_price=2.5)
    hours = {"expected": 40 + 3 * 60, "least": 32 + 3 * 60, "most": 48 + 3 * 60}
    assert about["gpu_hours"] == pytest.approx({name: value / 3600 * 2 for name, value in hours.items()})
    assert about["cost"] == pytest.approx({name: value / 3600 * 2 * 2.5 for name, value in hours.items()})
    assert about["score_seconds"] == pytest.approx(40 / 3 + 60)
    said = "\n".join(describe_estimate(about))
    assert "GPU hours = (worker hours + 3 workers x 60 s of starting) x 2 GPUs" in said and NO_START not in said
    given = describe_estimate(dry_run(config, make_rate(10), gpu_hour_price=2.5))
    (cost,) = (line for line in given if line.startswith("cost"))
    assert cost.endswith(f"= GPU hours x price; {NO_START}")


def test_a_model_that_writes_says_what_is_not_known(lb_config: Callable, write_pairs: Callable) -> None:
    table = pairs(40) | {"doc": ["a document"] * 40}
    config = lb_config(write_pairs(**table), reranker={"type": "erank", "max_new_tokens": 100})
    about = dry_run(config)
    assert about["new_tokens"] == [40, 4000]
    said = "\n".join(describe_estimate(about))
    assert "40 to 4,000 new ones" in said and "is not estimated" in said
    known = dry_run(config, Rate("an earlier run", (1.0, 1.0), prompt_tokens=50.0, new_tokens=30.0))
    assert known["new_tokens"] == [1200, 1200]
    assert known["worker_hours"]["expected"] == pytest.approx(40 / 3600), "the prompts' length does not count"


def test_a_model_that_thinks_again_writes_each_time(lb_config: Callable, write_pairs: Callable) -> None:
    path = write_pairs(**pairs(10) | {"doc": ["a document"] * 10})
    config = lb_config(path, reranker={"type": "rank1", "max_new_tokens": 100, "rethink": 2})
    about = dry_run(config)
    assert about["new_tokens"] == [10, 10 * (1 + 2) * 100]
    assert "the most is 300 each" in "\n".join(describe_estimate(about))


def test_a_price_is_no_negative_number(lb_config: Callable, write_pairs: Callable) -> None:
    with pytest.raises(UsageError, match="--gpu-hour-price = -1: "):
        dry_run(lb_config(write_pairs(**pairs(10))), make_rate(1), -1)
    with pytest.raises(UsageError, match=r"--gpu-hour-price = 2\.5: needs a rate"):
        dry_run(lb_config(write_pairs(**pairs(10))), None, 2.5)


@pytest.mark.parametrize("workers", [{}, {"num_gpus": 0}])
def test_a_price_of_gpus_that_no_worker_takes_is_an_error(
    workers: dict, lb_config: Callable, write_pairs: Callable
) -> None:
    """As where the job is planned on a laptop, whose vLLM is a CPU build."""
    config = lb_config(write_pairs(**pairs(10)), workers=workers)
    with pytest.raises(UsageError, match=r"--gpu-hour-price = 2\.5: .* give workers\.num_gpus"):
        dry_run(config, make_rate(1), 2.5)


def test_hours_without_those_of_gpus_say_so(lb_config: Callable, write_pairs: Callable) -> None:
    path = write_pairs(**pairs(10) | {"doc": ["a document"] * 10})

    def said(rate: Rate | None, **workers: float) -> list[str]:
        return [line for line in dry_run(lb_config(path, workers=workers), rate)["warnings"] if "GPU hours" in line]

    assert len(said(make_rate(1))) == 1 and "give workers.num_gpus" in said(make_rate(1))[0]
    assert said(None) == said(make_rate(1), num_gpus=0) == said(make_rate(1), num_gpus=1) == []


def test_pairs_that_are_known_by_their_texts_take_no_tokens(
    lb_config: Callable, write_pairs: Callable, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = {"max_model_len": 240, "load_format": "dummy"}
    settings = {"unit_rows": 50, "max_failed": 0.1}
    yesterday = {"output": {"path": str(tmp_path / "yesterday")}, "run": settings}
    columns = pairs(1500)
    rerank(lb_config(write_pairs("yesterday.parquet", **columns), engine=engine, **yesterday), KnownScorer, InProcess())
    more = {name: [*values, *pairs(500, 1)[name]] for name, values in columns.items()}
    run = settings | {"reuse": [str(tmp_path / "yesterday")]}
    config = lb_config(write_pairs("today.parquet", **more), run=run, engine=engine)
    about = dry_run(config)
    alone = dry_run(lb_config(write_pairs("new.parquet", **pairs(500, 1)), run={"unit_rows": 50}, engine=engine))
    assert about["pairs"] == 2000 and about["known"] == pytest.approx(1470 / 2000)
    assert about["prompt_tokens"] == pytest.approx(alone["prompt_tokens"], rel=0.01)
    assert "          73.5% of them, about, are known by their texts: 530 are left to score" in describe_estimate(about)
    assert not (tmp_path / "out").exists()

    capsys.readouterr()
    blind = dry_run(config, sizes=Sizes(known_rows=1000))
    assert blind["known"] == 0 and blind["prompt_tokens"] > 3 * about["prompt_tokens"]
    assert "1,500 rows have scores that could be taken (run.reuse): too many to look up" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_engine_counts_the_same_tokens(lb_config: Callable, write_pairs: Callable, tmp_path: Path) -> None:
    """How long it takes is another matter: benchmarks/estimate.py compares that."""
    config = lb_config(
        write_pairs(**pairs(5000)),
        engine={"enforce_eager": True, "kv_cache_memory_bytes": 2**26},
        run={"unit_rows": 100, "max_failed": 0.1},
    )
    about = dry_run(config)
    figures = rerank(config)
    assert about["prompt_tokens"] == pytest.approx(figures["prompt_tokens"], rel=0.05)
    rate = read_rate(str(tmp_path / "out"), config)
    assert rate.prompt_tokens == figures["prompt_tokens"] / 4900 and rate.start and rate.start > 1
