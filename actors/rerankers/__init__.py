"""The table of rerankers: `reranker.type` of a config -> how that family is prompted and how its replies are read."""

from actors.rerankers import (
    bge_gemma,
    bi_encoder,
    cross_encoder,
    erank,
    first,
    label,
    lb,
    listwise,
    mxbai,
    pairwise,
    qwen3,
    rank1,
    rankinggpt,
    setwise,
    t5,
    written,
)
from actors.rerankers.contract import Reranker
from actors.rerankers.settings import Settings

RERANKERS: dict[str, Reranker] = {
    "erank": erank.RERANKER,
    "rank1": rank1.RERANKER,
    "lb": lb.RERANKER,
    "rankinggpt": rankinggpt.RERANKER,
    "qwen3": qwen3.RERANKER,
    "mxbai": mxbai.RERANKER,
    "bge_gemma": bge_gemma.RERANKER,
    "cross_encoder": cross_encoder.RERANKER,
    "bi_encoder": bi_encoder.RERANKER,
    "t5": t5.RERANKER,
    "label": label.RERANKER,
    "written": written.RERANKER,
    "listwise": listwise.RERANKER,
    "first": first.RERANKER,
    "setwise": setwise.RERANKER,
    "pairwise": pairwise.RERANKER,
}

__all__ = ["RERANKERS", "Reranker", "Settings"]
