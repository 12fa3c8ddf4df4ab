"""What computes: one folder for each engine, the only places that know it. `ENGINE` is what a run uses."""

from actors.engines.contract import EngineFacts
from actors.engines.vllm import facts

ENGINE: EngineFacts = facts
