"""Query likelihood at the speed of a plain prefill: the head runs only on the rows that predict the query.

vLLM's own prompt_logprobs computes the whole vocabulary for every token of the prompt, in memory that it did not plan
for. Here any *ForCausalLM of vLLM becomes a pooling model whose "vector" is the log-probabilities of a prompt's tokens
from its boundary on (PoolingParams.extra_kwargs["boundary"]): natural logarithms over the full vocabulary, in float32.

A prompt may be computed in chunks, be preempted and restarted, or begin behind a cached prefix. If rows that are needed
lie in that prefix, their values are NaN, and the caller has to ask again without the cache.
"""

from collections.abc import Callable, Set
from typing import Any

import torch
from vllm.config import VllmConfig
from vllm.model_executor.layers.pooler import DispatchPooler, Pooler, PoolingParamsUpdate
from vllm.tasks import PoolingTask
from vllm.utils.torch_utils import async_tensor_h2d

TASK: PoolingTask = "token_classify"
ROWS = 256  # rows of logits that are in memory at once: 257 MB for BLOOM's vocabulary in float32


def with_likelihood(base: type) -> type:
    """The model class `base` as a pooling model, with the pooler of this file."""

    class WithLikelihood(base):  # type: ignore[misc]
        is_pooling_model = True

        def __init__(self, *, vllm_config: VllmConfig, prefix: str = ""):  # vLLM requires these two names
            super().__init__(vllm_config=vllm_config, prefix=prefix)
            self.pooler = DispatchPooler({TASK: Likelihood(self)})

    WithLikelihood.__name__ = base.__name__
    return WithLikelihood


class Likelihood(Pooler):
    """Pools hidden states into the log-probabilities of the tokens from each prompt's boundary on."""

    def __init__(self, model: torch.nn.Module):
        super().__init__()
        compute_logits: Any = model.compute_logits
        self._head: Callable[[torch.Tensor], torch.Tensor] = compute_logits

    def get_supported_tasks(self) -> Set[PoolingTask]:
        return {TASK}

    def get_pooling_updates(self, task: PoolingTask) -> PoolingParamsUpdate:
        return PoolingParamsUpdate(requires_token_ids=True)

    def forward(self, hidden_states: torch.Tensor, pooling_metadata: Any) -> list[torch.Tensor | None]:
        """One output a prompt: shape (tokens - boundary,), or None where its last chunk is still to come.

        hidden_states: shape (tokens of this step, hidden size); the step's prompts are concatenated.
        """
        cursor = pooling_metadata.get_pooling_cursor()
        ends, counts = cursor.seq_lens_cpu.tolist(), cursor.num_scheduled_tokens_cpu.tolist()
        prompts = pooling_metadata.get_prompt_token_ids_cpu()
        rows: list[torch.Tensor] = []
        targets: list[torch.Tensor] = []
        spans: list[tuple[int, int]] = []  # for each prompt, the positions of the tokens that this step predicts
        at = 0
        for tokens, params, end, count in zip(prompts, pooling_metadata.pooling_params, ends, counts, strict=True):
            begin = end - count  # the position of the step's first token, whose row predicts the token after it
            first, stop = max(_boundary(params), begin + 1), min(end + 1, len(tokens))
            spans.append((first, max(first, stop)))
            rows.append(torch.arange(at + first - 1 - begin, at + spans[-1][1] - 1 - begin))
            targets.append(tokens[first : spans[-1][1]].long())
            at += count
        device = hidden_states.device
        predicted = self._logprobs(
            hidden_states, async_tensor_h2d(torch.cat(rows), device), async_tensor_h2d(torch.cat(targets), device)
        )
        outputs: list[torch.Tensor | None] = []
        pieces = torch.split(predicted, [stop - first for first, stop in spans])
        states = pooling_metadata.pooling_states
        finished = cursor.get_finished_mask()
        for tokens, params, state, done, (first, stop), piece in zip(
            prompts, pooling_metadata.pooling_params, states, finished, spans, pieces, strict=True
        ):
            boundary = _boundary(params)
            whole = first == boundary and stop == len(tokens)
            if not whole:
                if not state.hidden_states_cache:
                    state.hidden_states_cache.append(predicted.new_full((len(tokens) - boundary,), torch.nan))
                state.hidden_states_cache[0][first - boundary : stop - boundary] = piece
            outputs.append((piece if whole else state.hidden_states_cache[0]) if done else None)
            if done:
                state.clean()
        return outputs

    def _logprobs(self, hidden_states: torch.Tensor, rows: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The log-probability of targets[i] by the logits of hidden_states[rows[i]]."""
        found = hidden_states.new_empty(len(rows), dtype=torch.float32)
        for i in range(0, len(rows), ROWS):
            block = slice(i, i + ROWS)
            logits = self._head(hidden_states[rows[block]]).float()
            found[block] = logits.gather(1, targets[block, None])[:, 0] - logits.logsumexp(1)
        return found


def _boundary(params: Any) -> int:
    """The boundary that was asked for; 1, the most work there can be, in vLLM's trial runs, which ask for none."""
    return (params.extra_kwargs or {"boundary": 1})["boundary"]
