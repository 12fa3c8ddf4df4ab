"""Whether the judgements and the result write ids alike: where they do not, every measure is 0 and means nothing."""

from dataclasses import dataclass
from difflib import get_close_matches

from pipeline.errors import UsageError
from pipeline.evaluate.qrels import Qrels
from pipeline.evaluate.result import Result

COMPARED = 1000  # ids among which one is looked for that is like another


@dataclass(frozen=True)
class Met:
    """judged: documents that are judged for the queries of the result. found: of these, those that are candidates of
    their query. examples: one that is not, and the most similar candidate."""

    judged: int
    found: int
    examples: tuple[str, str]


def compare_docs(result: Result, qrels: Qrels) -> Met:
    """How many judged documents the result has. Raises UsageError where it has none."""
    judged = found = 0
    examples = ("", "")
    ends = [*result.query.searchsorted(range(len(result.query_ids))), len(result.query)]
    for number, query in enumerate(result.query_ids):
        here = result.docs[ends[number] : ends[number + 1]].tolist()
        missing = qrels[query].keys() - {*here}
        judged += len(qrels[query])
        found += len(qrels[query]) - len(missing)
        if missing and not examples[0]:
            one = min(missing)
            examples = one, (get_close_matches(one, here[:COMPARED], 1, 0) or here)[0]
    met = Met(judged, found, examples)
    if not found:
        raise UsageError(f"{result.url}: {describe(met)}")
    return met


def describe(met: Met) -> str:
    """One line that says how few were found."""
    what = f"{met.found:,} of {met.judged:,}" if met.found else f"none of {met.judged:,}"
    theirs, ours = met.examples
    return (
        f"{what} judged documents are candidates of their queries: "
        f"{theirs!r} in the judgements, {ours!r} in the result; are the ids written alike?"
    )
