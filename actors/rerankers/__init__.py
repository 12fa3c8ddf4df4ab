"""The table of rerankers: the name a config uses -> how that family is prompted and read."""

from actors.rerankers import bi_encoder, lb
from actors.rerankers.contract import Reranker, Settings

RERANKERS: dict[str, Reranker] = {
    "lb": lb.RERANKER,
    "bi_encoder": bi_encoder.RERANKER,
}

__all__ = ["RERANKERS", "Reranker", "Settings"]
