"""The order of pairs inside a unit: those that share a prompt prefix are neighbours, for the engine's prefix cache."""

from typing import Literal

import numpy as np
import pyarrow as pa


def group_by_prefix(unit: pa.Table, shared: Literal["query", "doc"]) -> pa.Table:
    """The unit's rows, grouped by the text that comes first in the prompt.

    shared: the column with that text. Groups are in the order of their first rows, and the rows of a group in the order
    of the input.
    """
    texts = unit[shared].combine_chunks().dictionary_encode(null_encoding="encode")
    return unit.take(np.argsort(texts.indices.to_numpy(), kind="stable"))
