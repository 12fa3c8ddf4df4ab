"""The order of work inside a unit: pairs that share a prompt prefix stand together, to serve vLLM's prefix cache."""

from typing import Literal

import numpy as np
import pyarrow as pa


def group_by_prefix(unit: pa.Table, shared: Literal["query", "doc"]) -> pa.Table:
    """The unit's rows, grouped by the side that comes first in the prompt.

    Groups come in the order in which they first appear, and rows inside a group in the order of the input.
    """
    texts = unit[shared].combine_chunks().dictionary_encode(null_encoding="encode")
    return unit.take(np.argsort(texts.indices.to_numpy(), kind="stable"))
