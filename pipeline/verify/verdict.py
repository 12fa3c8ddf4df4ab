"""The findings of a verification, and which of them are faults."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipeline.config import Config
from pipeline.verify.causes import explain
from pipeline.verify.compare import Comparison, share_explained
from pipeline.verify.tokens import TokenIds

# The largest difference that passes, where no rounding of transformers' was measured; docs/verify.md has the source.
TOLERANCES = {"float32": 1e-3, "float16": 1e-2, "bfloat16": 5e-2}
OWN_ROUNDING = 2  # times transformers' own furthest, where it was measured


def choose_tolerance(precision: str, rounding: Comparison | None) -> float:
    """rounding: see Verdict. A precision that is not known, as of quantised weights, has that of bfloat16."""
    if rounding:
        return max(TOLERANCES["float32"], OWN_ROUNDING * rounding.largest)
    return TOLERANCES.get(precision, TOLERANCES["bfloat16"])


@dataclass(frozen=True)
class Verdict:
    """config: as it was run. rows: the pairs, by query_id and doc_id. tokens: of each pair's prompts. scores: of each
    way, nan without one; the engine's own are first. comparisons: of these with each of the others. rounding: of
    transformers in the engine's precision with transformers in float32; None where that was not measured. precision: of
    the engine. lines: what else is to say.
    """

    config: Config
    rows: pa.Table
    tokens: np.ndarray
    ids: TokenIds
    scores: dict[str, np.ndarray]
    comparisons: list[Comparison]
    rounding: Comparison | None
    precision: str
    tolerance: float
    lines: list[str]

    @property
    def explained(self) -> float | None:
        """The share of pairs that are no further from the reference than rounding moves scores; None if not known."""
        return share_explained(self.comparisons[-1], self.rounding) if self.rounding else None

    @property
    def faults(self) -> list[str]:
        """A line for each; none where all is well."""
        return [f"{found.name}: {fault}" for found in self.comparisons for fault in self._find_faults(found)]

    def _find_faults(self, found: Comparison) -> list[str]:
        faults = []
        if found.alone:
            pair = self.name_pair(found.alone[0])
            faults.append(f"{len(found.alone)} pair(s) have a score only there or only here, the first {pair}")
        if not found.pairs:
            faults.append("no pair has both scores")
        elif found.spread == 0:
            faults.append("all scores are equal, which proves nothing")
        if found.largest > self.tolerance:
            own = next(iter(self.scores.values()))
            why = explain(own, self.scores[found.name], found.differences, self.tokens, self.tolerance)
            faults.append(f"the largest difference, {found.largest:.1e}, is above {self.tolerance:.1e}: {why}")
        return faults

    def name_pair(self, number: int) -> str:
        """A pair by its ids."""
        query, doc = (self.rows[name][number].as_py() for name in ("query_id", "doc_id"))
        return f"query {query!r}, document {doc!r}"
