"""Three steps with each loss of sentence-transformers, in an environment of its own.

Arguments: the folders of triplets and of lists, a model, a folder for the trainer.

The last line on stdout is JSON: loss -> its steps, and by how much they moved what the model gives.
"""

import json
import sys
from typing import Any

from datasets import load_dataset  # type: ignore[import-not-found,unused-ignore]
from sentence_transformers import (  # type: ignore[import-not-found,unused-ignore]
    CrossEncoder,
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
    losses,
)
from sentence_transformers.cross_encoder import (  # type: ignore[import-not-found,unused-ignore]
    CrossEncoderTrainer,
    CrossEncoderTrainingArguments,
)
from sentence_transformers.cross_encoder import losses as list_losses

TRIPLET_LOSSES = {"MarginMSELoss": ["label"], "MultipleNegativesRankingLoss": [], "TripletLoss": []}
LIST_LOSSES = ("ListNetLoss", "LambdaLoss")
ASKED = ("what is this", "about that")


def main(triplets: str, lists: str, model: str, out: str) -> None:
    given: dict[str, Any] = {"output_dir": out, "max_steps": 3, "per_device_train_batch_size": 4, "use_cpu": True}
    given |= {"report_to": "none", "save_strategy": "no", "learning_rate": 1e-2}
    found: dict[str, tuple[int, float]] = {}
    rows = load_dataset("parquet", data_files=f"{triplets}/*.parquet", split="train")
    for name, more in TRIPLET_LOSSES.items():
        student = SentenceTransformer(model, device="cpu")
        before = student.encode(ASKED[0])
        trainer = SentenceTransformerTrainer(
            model=student,
            args=SentenceTransformerTrainingArguments(**given),
            train_dataset=rows.select_columns(["anchor", "positive", "negative", *more]),
            loss=getattr(losses, name)(student),
        )
        found[name] = trainer.train().global_step, float(abs(student.encode(ASKED[0]) - before).max())
    rows = load_dataset("parquet", data_files=f"{lists}/*.parquet", split="train")
    for name in LIST_LOSSES:
        student = CrossEncoder(model, num_labels=1, device="cpu")
        before = student.predict([ASKED])
        trainer = CrossEncoderTrainer(
            model=student,
            args=CrossEncoderTrainingArguments(**given),
            train_dataset=rows,
            loss=getattr(list_losses, name)(student),
        )
        found[name] = trainer.train().global_step, float(abs(student.predict([ASKED]) - before).max())
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
