"""The dataflow: list, read, order, prompt, score, put, merge, fuse, rank, commit. It knows nothing of vLLM."""

from typing import Any


def rerank(table: Any, config: Any, *overrides: str) -> Any:
    """Re-ranks a table that is in memory: see pipeline.table, and docs/python.md."""
    from pipeline import table as tables  # Ray and what it brings, which not everything here needs

    return tables.rerank(table, config, *overrides)
