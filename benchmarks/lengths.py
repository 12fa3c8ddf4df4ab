"""A model whose answers have known lengths: built, not trained, so that it can be of any size.

Each document holds one word of LENGTHS' tokens, and rank1's prompt around it is answered with as many tokens as that
word says, then `</think> true`; or, for the word of 0, without an end. The first layer's attention carries the word
to the place where the answer begins; from there each token has one successor. All other weights are 0, and cost the
same time as any others.
"""

from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from actors.rerankers.rank1 import PROMPT
from tests import tiny

LENGTHS = range(10, 201, 10)  # spread 1:20
HEAD = 64


def build(folder: Path, hidden: int, layers: int, vocabulary: int) -> dict[int, str]:
    """Saves the model. Returns the word of each length; 0 is the one without an end."""
    tokenizer = tiny.rank1_qwen2_tokenizer()
    words, chain, loop = _tokens(tokenizer)
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=vocabulary,
        hidden_size=hidden,
        intermediate_size=4 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=hidden // HEAD,
        num_key_value_heads=hidden // HEAD,
        max_position_embeddings=2048,
        tie_word_embeddings=False,
        eos_token_id=tokenizer.eos_token_id,
        dtype="float32",
    )
    model = Qwen2ForCausalLM(config)
    with torch.no_grad():
        for name, weights in model.named_parameters():
            weights.fill_(1.0 if "norm" in name else 0.0)
        _wire(model, tokenizer, words, chain, loop)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return {length: str(tokenizer.decode([token])) for length, token in words.items()}


def _tokens(tokenizer: PreTrainedTokenizerFast) -> tuple[dict[int, int], list[int], list[int]]:
    """Tokens that stand for lengths; those of the longest answer in their order; and those of the endless one."""
    letters = {i: token[1:] for token, i in tokenizer.get_vocab().items() if token.startswith("Ġ")}
    taken = set(tokenizer.encode(PROMPT + " true false"))
    plain = sorted(i for i, text in letters.items() if text.isascii() and text.isalpha() and i not in taken)
    count = len(LENGTHS) + 1
    words = dict(zip([0, *LENGTHS], plain[:count], strict=True))
    loop, chain = plain[count : count + 2], plain[count + 2 :]
    close, true = tokenizer.get_added_vocab()["</think>"], tokenizer.encode(" true")[0]
    spare = [i for i in range(256, len(tokenizer) - 5) if i not in plain and i not in taken]
    chain = (chain + spare)[: max(LENGTHS) + 1]
    assert len(set(chain)) == max(LENGTHS) + 1, "each token has one successor"
    return words, [*chain, close, true], loop


def _wire(
    model: Qwen2ForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    words: dict[int, int],
    chain: list[int],
    loop: list[int],
) -> None:
    hidden = model.config.hidden_size
    marks = torch.randn(model.config.vocab_size, hidden)  # nearly at right angles to each other
    marks /= marks.norm(dim=1, keepdim=True)
    flag = torch.nn.functional.normalize(torch.randn(hidden), dim=0)
    embedding: Any = model.get_input_embeddings().weight
    head: Any = model.lm_head.weight
    embedding[: len(tokenizer)] = marks[: len(tokenizer)]
    for token in words.values():
        embedding[token] = marks[token] + flag
    for token, successor in [*pairwise(chain), (loop[0], loop[1]), (loop[1], loop[0])]:
        head[successor] += 10 * marks[token]
    false = tokenizer.encode(" false")[0]
    head[false] += 9 * marks[chain[-2]]  # so that both labels are likely at the end, as in a real model's answer
    # The first head of the first layer looks for the flag, in the dimension that rotates least, and carries the word.
    attention: Any = model.model.layers[0].self_attn
    attention.q_proj.bias[HEAD // 2 - 1] = 40
    attention.k_proj.weight[HEAD // 2 - 1] = 40 * flag / hidden**0.5
    carry = torch.randn(HEAD, hidden)
    attention.v_proj.weight[:HEAD] = carry
    seen = torch.stack([carry @ _normed(embedding[token]) for token in words.values()], dim=1)
    before = [loop[1] if length == 0 else chain[len(chain) - 3 - length] for length in words]
    starts = torch.stack([marks[token] for token in before], dim=1) * 0.4
    attention.o_proj.weight[:, :HEAD] = starts @ torch.linalg.pinv(seen)


def _normed(vector: torch.Tensor) -> torch.Tensor:
    return vector / vector.pow(2).mean().sqrt()
