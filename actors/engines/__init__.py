"""Engines: what computes a model's replies. Each has a folder here, and nothing outside that folder imports it.

`ENGINE` is the engine that a run uses: its facts, and `ENGINE.build_engine`.
"""

from actors.engines.contract import EngineFacts
from actors.engines.vllm import facts

ENGINE: EngineFacts = facts
