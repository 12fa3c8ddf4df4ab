"""A run in a process that will be killed: python -m inside.driver CONFIG, a config as JSON."""

import json
import logging
import os
import sys

import ray

from pipeline.config import parse
from pipeline.run import rerank

from .scorers import SCORERS

if __name__ == "__main__":
    ray.init(os.environ["COMPARE_RAY"], log_to_driver=False, logging_level=logging.ERROR)
    rerank(parse(json.loads(sys.argv[1])), SCORERS["slow"])
