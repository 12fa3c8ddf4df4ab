"""One pass through a model for a batch of sequences: logits, likelihoods, and the logits of a classifier.

Causal language models are padded on the left, so that the tokens whose logits are needed stand at the end of every row;
all others on the right, where positions begin at 0 by themselves.
"""

import inspect
import itertools
from typing import Any

import numpy as np
import torch

from actors.engines.transformers.loading import is_encoder

Sequences = list[list[int]]


def pad(sequences: Sequences, value: int, left: bool, device: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and attention mask, both of shape (sequences, longest)."""
    longest = max(map(len, sequences))
    ids = np.full((len(sequences), longest), value, dtype=np.int64)
    mask = np.zeros((len(sequences), longest), dtype=np.int64)
    for row, tokens in enumerate(sequences):
        place = slice(longest - len(tokens), longest) if left else slice(len(tokens))
        ids[row, place], mask[row, place] = tokens, 1
    return torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device)


def compute_last_logits(model: Any, sequences: Sequences, rows: int = 1) -> torch.Tensor:
    """Logits at the last `rows` tokens of each sequence, or at the first token that a decoder writes; shape
    (sequences, rows, vocabulary)."""
    if model.config.is_encoder_decoder:
        return _compute_decoder_logits(model, sequences, [[0]] * len(sequences))
    ids, mask = pad(sequences, 0, True, model.device)
    known = inspect.signature(model.forward).parameters
    optional = {
        "position_ids": (mask.cumsum(1) - 1).clamp(min=0),
        "logits_to_keep": rows,
        "use_cache": False,
    }
    given = {name: value for name, value in optional.items() if name in known}
    logits: torch.Tensor = model(input_ids=ids, attention_mask=mask, **given).logits
    return logits[:, -rows:]


def compute_likelihoods(model: Any, sequences: Sequences, boundaries: list[int]) -> list[np.ndarray]:
    """The natural log-probability of each sequence's tokens from its boundary on, over the full vocabulary. With an
    encoder and a decoder, the encoder reads what stands before the boundary."""
    targets = [tokens[boundary:] for tokens, boundary in zip(sequences, boundaries, strict=True)]
    if model.config.is_encoder_decoder:
        sources = [tokens[:boundary] for tokens, boundary in zip(sequences, boundaries, strict=True)]
        logits = _compute_decoder_logits(model, sources, targets)
        own = [row[: len(target)] for row, target in zip(logits, targets, strict=True)]
    else:
        logits = compute_last_logits(model, [tokens[:-1] for tokens in sequences], max(map(len, targets)))
        own = [row[logits.shape[1] - len(target) :] for row, target in zip(logits, targets, strict=True)]
    return [_pick(row, target) for row, target in zip(own, targets, strict=True)]


def classify(model: Any, sequences: Sequences, boundaries: list[int | None]) -> np.ndarray:
    """The logits of a model for sequence classification; shape (sequences, labels), float32. boundaries: where the
    tokens of type 1 begin."""
    text = model.config.get_text_config()
    if is_encoder(model.config):
        value = text.pad_token_id or 0
    else:  # it reads the last token of a row that is not this one
        last = {tokens[-1] for tokens in sequences}
        value = text.pad_token_id = next(token for token in itertools.count() if token not in last)
    ids, mask = pad(sequences, value, False, model.device)
    types = {}
    if any(boundaries):
        starts = [boundary or ids.shape[1] for boundary in boundaries]
        places = torch.arange(ids.shape[1], device=ids.device)
        types["token_type_ids"] = (places >= torch.tensor(starts, device=ids.device)[:, None]).long() * mask
    logits = model(input_ids=ids, attention_mask=mask, **types).logits
    return logits.float().cpu().numpy()


def _compute_decoder_logits(model: Any, sources: Sequences, targets: Sequences) -> torch.Tensor:
    """The logits that predict each token of the targets; shape (targets, longest, vocabulary)."""
    start = model.generation_config.decoder_start_token_id
    ids, mask = pad(sources, model.config.pad_token_id or 0, False, model.device)
    before, _ = pad([[start, *target[:-1]] for target in targets], model.config.pad_token_id or 0, False, model.device)
    return model(input_ids=ids, attention_mask=mask, decoder_input_ids=before, use_cache=False).logits


def _pick(logits: torch.Tensor, target: list[int]) -> np.ndarray:
    """The log-probability of each token of a target by its row of logits."""
    logits = logits.float()
    chosen = logits.gather(1, torch.tensor(target, device=logits.device)[:, None])[:, 0]
    return (chosen - logits.logsumexp(1)).cpu().numpy()
