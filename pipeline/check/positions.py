"""How many tokens a model has positions for, against the lengths that the engine is given."""

from typing import Any

from actors.engines import get_engine
from actors.rerankers.files import read_optional_file
from actors.rerankers.tokenizer import count_positions
from pipeline.config import Config
from pipeline.errors import UsageError

TABLE = "max_position_embeddings"
COMPUTED = ("rope", "rotary", "alibi")  # in a key's name: positions are computed, so there may be more of them


def check_positions(config: Config, declared: dict[str, Any]) -> None:
    """Raises UsageError where the engine would read positions that the model does not have, or would refuse the length.
    declared: the model's config.json."""
    engine = get_engine(config.engine)
    limit, declared = engine.max_length(config.engine), declared | engine.config_overrides(config.engine)
    about = read_optional_file(config.reranker, "sentence_bert_config.json") or {}
    saved, table = about.get("max_seq_length"), declared.get(TABLE)
    positions = count_positions(declared)
    if limit and positions and limit > positions:
        raise UsageError(
            f"engine.max_model_len = {limit}: the model has positions for {positions} tokens "
            f"({TABLE} = {table}, less those up to the padding's)"
        )
    if limit and (longest := engine.find_longest(declared, saved)) and limit > longest:
        raise UsageError(
            f"engine.max_model_len = {limit}: by its files the model takes {longest} tokens, and {engine.name} refuses "
            "to go beyond that"
        )
    computed = any(word in f"{key} {value}" for key, value in declared.items() for word in COMPUTED)
    if not limit and saved and table and saved > table and not computed:
        raise UsageError(
            f"reranker.model = {config.reranker.model!r}: max_seq_length in its sentence_bert_config.json is {saved}, "
            f"and it has {TABLE} = {table}; engine.max_model_len sets the right length"
        )
