"""Rewrites a checkpoint that vLLM does not run as one that it does: python jobs/convert.py FOLDER_IN FOLDER_OUT

FOLDER_IN has the files of a QWenLMHeadModel (Qwen's first generation, RankingGPT-qwen-7b), of a BaichuanForCausalLM
with rotary positions (Baichuan2-7B, RankingGPT-baichuan2-7b), or of a ModernBERT that sentence-transformers saved as a
stack of modules (ettin-reranker). The result is a Qwen2ForCausalLM, LlamaForCausalLM or
ModernBertForSequenceClassification with the same numbers in it and a tokenizer.json. No code that came with the
checkpoint is run.

Exit codes: 0 done; 2 the arguments or the checkpoint cannot be used, and nothing was written; 1 anything else.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # it runs from a checkout, nothing is installed

from jobs.converters import baichuan, checkpoint, modernbert, qwen
from jobs.converters.plan import read_json
from jobs.ending import Ending
from pipeline.errors import UsageError

PLANS = {"QWenLMHeadModel": qwen.make_plan, "BaichuanForCausalLM": baichuan.make_plan}
STACK = "ModernBertModel"  # with a modules.json


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="jobs/convert.py", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("source", metavar="FOLDER_IN", type=Path, help="the original checkpoint")
    parser.add_argument("target", metavar="FOLDER_OUT", type=Path, help="a folder that is empty or not there yet")
    options = parser.parse_args(arguments)
    ending = Ending("convert", caught=(KeyboardInterrupt,), advice=f"{options.target} is not a whole checkpoint")
    return ending.run(lambda: _convert(options))


def _convert(options: argparse.Namespace) -> int:
    config = convert(options.source, options.target)
    context = config["max_position_embeddings"]
    print(f"{options.target}: {config['architectures'][0]}, up to {context} tokens")
    return 0


def convert(source: Path, target: Path) -> dict[str, Any]:
    """Converts the checkpoint in `source` and returns the new config. All is checked before a file is written."""
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UsageError(f"{target}: is not an empty folder")
    path = source / "config.json"
    config = read_json(path)
    architectures = config.get("architectures")
    if not isinstance(architectures, list) or len(architectures) != 1 or architectures[0] not in (*PLANS, STACK):
        known = f"{', '.join(PLANS)} and {STACK} with modules"
        raise UsageError(f"{path}: architectures is {architectures!r}; what can be converted is {known}")
    for key in ("quantization_config", "quantization"):
        if config.get(key):
            raise UsageError(f"{path}: has {key}; a quantised checkpoint cannot be converted")
    if architectures == [STACK]:
        return modernbert.convert(source, target)
    plan = PLANS[architectures[0]](source, config)
    shards = checkpoint.find_shards(source)
    dtype = checkpoint.check_tensors(shards, plan)
    checkpoint.write_checkpoint(shards, plan, dtype, target)
    return plan.config


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
