"""Groups as FlagEmbedding's own data set draws them, in its own environment: python groups.py FOLDER

The last line on stdout is JSON: the groups, each a query, its passages, of which the first is a positive, and their
scores.
"""

import json
import sys

from FlagEmbedding.abc.finetune.embedder import (  # type: ignore[import-not-found,unused-ignore]
    AbsEmbedderDataArguments,
    AbsEmbedderTrainDataset,
)


def main(folder: str) -> None:
    arguments = AbsEmbedderDataArguments(train_data=[folder], train_group_size=4, knowledge_distillation=True)
    rows = AbsEmbedderTrainDataset(arguments, tokenizer=None)
    print(json.dumps([rows[number] for number in range(len(rows))]))


if __name__ == "__main__":
    main(*sys.argv[1:])
