"""The transformers engine beside sentence-transformers: python benchmarks/transformers_engine.py [--task predict ...]

The same texts, documents of 10 to 110 words, from texts to numbers in one process:
  engine   the reranker's prompts, and engine.type: transformers with its defaults
  library  sentence-transformers: SentenceTransformer.encode (which sorts by length), or CrossEncoder.predict (likewise)
The tasks: `encode` embeds them with all-MiniLM-L6-v2; `predict` scores pairs with a random BERT of the size of
ms-marco-MiniLM-L6-v2; `small` with one that takes half a millisecond a pair, so that what surrounds it shows.
Needs `pip install sentence-transformers`.
"""

import argparse
import queue
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import pyarrow.parquet as pq

from actors.engines import get_engine
from actors.rerankers import RERANKERS
from actors.rerankers.contract import Pair, Reply
from actors.rerankers.tokenizer import load_tokenizer
from actors.worker.pending import Pending
from actors.worker.watchdog import Watchdog
from benchmarks.rounds import Figures, Kinds, benchmark
from benchmarks.sizes import pairs, save_pairs
from tests import tiny

ENGINE: dict[str, Any] = {"type": "transformers", "dtype": "float32"}
BERTS = {"predict": (384, 6, 1536), "small": (64, 2, 256)}  # hidden size, layers, width
HEAD = 32
WORDS = 110


def build(options: argparse.Namespace, folder: Path) -> None:
    """Saves the model and the pairs."""
    if options.task in BERTS:
        from transformers import BertConfig, BertForSequenceClassification

        hidden, layers, width = BERTS[options.task]
        tiny.bert(folder / "model")  # for its tokenizer
        sizes: dict[str, Any] = {
            "hidden_size": hidden,
            "num_hidden_layers": layers,
            "num_attention_heads": hidden // HEAD,
            "intermediate_size": width,
            "num_labels": 1,
        }
        BertForSequenceClassification(BertConfig(**sizes)).save_pretrained(folder / "model")
    columns = pairs(options.rows, WORDS)
    lengths = np.random.default_rng(1).integers(10, WORDS + 1, options.rows)
    columns["doc"] = [" ".join(doc.split()[:most]) for doc, most in zip(columns["doc"], lengths, strict=True)]
    save_pairs(columns, folder / "pairs.parquet", options.rows)


def model(options: argparse.Namespace) -> str:
    from tests.conftest import minilm_folder

    return minilm_folder() if options.task == "encode" else str(options.folder / "model")


def texts(options: argparse.Namespace) -> list[tuple[str, str]]:
    return [(row["query"], row["doc"]) for row in pq.read_table(options.folder / "pairs.parquet").to_pylist()]


def engine(options: argparse.Namespace) -> Figures:
    family = RERANKERS["bi_encoder" if options.task == "encode" else "cross_encoder"]
    settings = family.settings(type="", model=model(options))
    tokenizer, request = load_tokenizer(settings), family.request(settings)
    built = get_engine(ENGINE).build_engine(settings, ENGINE, request, [], 1800, Watchdog(), False)

    def run(rows: list[tuple[str, str]]) -> None:
        """Scores all texts. An embedding model gets the documents alone, as the library does."""
        made: list[Any] = family.prompt(tokenizer, settings, [Pair(*row) for row in rows])
        last = [each._replace(sequences=[np.array(each.sequences[-1], dtype=np.int32)]) for each in made]
        pending = Pending(last, 1, score)
        inbox: queue.SimpleQueue = queue.SimpleQueue()
        built.ask(pending.first, inbox.put)
        while pending.left:
            for number, reply in inbox.get():
                pending.take(number, reply)

    def score(replies: list[Reply]) -> float:
        return float(np.asarray(replies[0].vector)[0])

    rows = texts(options)
    run(rows[:64])
    return measure(lambda: run(rows))


def library(options: argparse.Namespace) -> Figures:
    import sentence_transformers

    rows = texts(options)
    if options.task == "encode":
        encoder = sentence_transformers.SentenceTransformer(model(options), device="cpu")
        docs = list(dict.fromkeys(doc for _, doc in rows))  # equal texts once, as the engine's caller does
        encoder.encode(docs[:64])
        return measure(lambda: encoder.encode(docs, batch_size=options.batch, show_progress_bar=False))
    crossed = sentence_transformers.CrossEncoder(model(options), device="cpu")
    given: list[Any] = rows
    crossed.predict(given[:64])
    return measure(lambda: crossed.predict(given, batch_size=options.batch, show_progress_bar=False))


def measure(work: Callable[[], object]) -> Figures:
    """`cpu` counts the seconds of all cores, which say more on a machine that does other things meanwhile."""
    began, cpu = time.perf_counter(), time.process_time()
    work()
    return {"seconds": time.perf_counter() - began, "cpu": time.process_time() - cpu}


KINDS: Kinds = {"engine": engine, "library": library}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--task", choices=["encode", *BERTS], default="encode")
    parser.add_argument("--batch", type=int, default=32, help="rows of a batch of the library's")
    benchmark(parser, KINDS, build, rounds=5)


if __name__ == "__main__":
    main()
