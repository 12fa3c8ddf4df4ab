"""Models and engines that the tests of actors/ share, each made once a session."""

from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from actors.engines.contract import Engine, EngineRequest
from actors.rerankers import RERANKERS, bi_encoder, lb
from actors.rerankers.contract import Reply, Unscored
from actors.rerankers.tokenizer import Tokenizer
from tests import tiny
from tests.parity import ENGINES, shared_engine


def run(
    engine: Engine, sequences: list[list[int]], boundary: int | None = None, max_tokens: int = 1
) -> "Future[list[Reply | Unscored]]":
    """The future replies to sequences, in the order of the sequences."""
    future: Future[list[Reply | Unscored]] = Future()
    replies: dict[int, Reply | Unscored] = {}

    def deliver(delivered: Any) -> None:
        if isinstance(delivered, BaseException):
            future.set_exception(delivered)
            return
        replies.update(delivered)
        if len(replies) == len(sequences):
            future.set_result([replies[i] for i in range(len(sequences))])

    engine.ask([EngineRequest(i, tokens, boundary, max_tokens) for i, tokens in enumerate(sequences)], deliver)
    return future


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """The name of a function of tests/tiny.py -> the folder of its model, made once."""
    made: dict[str, str] = {}

    def make(name: str) -> str:
        if name not in made:
            made[name] = getattr(tiny, name)(tmp_path_factory.mktemp(name))
        return made[name]

    return make


@pytest.fixture(scope="session")
def tiny_qwen2(tiny_model: Callable[[str], str]) -> str:
    """The folder of a tiny random Qwen2 with a ChatML template."""
    return tiny_model("qwen2")


@pytest.fixture(scope="session")
def lb_settings(tiny_qwen2: str) -> lb.LB:
    return lb.LB(type="lb", model=tiny_qwen2)


@pytest.fixture(scope="session")
def lb_tokenizer(lb_settings: lb.LB) -> Tokenizer:
    return Tokenizer(lb_settings)


@pytest.fixture(scope="session")
def lb_engine(lb_settings: lb.LB, lb_tokenizer: Tokenizer) -> Engine:
    request = RERANKERS["lb"].request(lb_settings)
    return shared_engine(lb_settings, ENGINES["cached"], request, lb_tokenizer.label_ids(request.labels))


@pytest.fixture(scope="session")
def minilm_engine(minilm: str) -> Engine:
    settings = bi_encoder.BiEncoder(type="bi_encoder", model=minilm)
    return shared_engine(settings, {}, RERANKERS["bi_encoder"].request(settings))


@pytest.fixture(scope="session")
def save_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Saves a tokenizer, and a config with a model type and the given keys, as the folder of a model."""

    def save(tokenizer: Any, **config: Any) -> str:
        from transformers import AutoConfig

        folder = Path(tmp_path_factory.mktemp("tokenizer"))
        tokenizer.save_pretrained(folder)
        AutoConfig.for_model(config.pop("model_type", "qwen2"), **config).save_pretrained(folder)
        return str(folder)

    return save
