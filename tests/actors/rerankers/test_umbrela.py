"""UMBRELA's prompt is the one that its authors have published."""

from collections.abc import Callable

from actors.rerankers.contract import Pair, Prompt
from actors.rerankers.tokenizer import Tokenizer
from actors.rerankers.written import RERANKER
from pipeline.config import load
from tests.conftest import ROOT
from tests.file_tokenizer import FileTokenizer
from tests.parity import SOME_PAIRS

# src/umbrela/prompts/prompt_templates/qrel_zeroshot_bing.yaml of castorini/umbrela, at e2c4e41
PUBLISHED = (
    "Given a query and a passage, you must provide a score on an integer scale of 0 to 3 with the following meanings:\n"
    "0 = represent that the passage has nothing to do with the query, \n"
    "1 = represents that the passage seems related to the query but does not answer it, \n"
    "2 = represents that the passage has some answer for the query, but the answer may be a bit unclear, or hidden "
    "amongst extraneous information and \n"
    "3 = represents that the passage is dedicated to the query and contains the exact answer.\n"
    "\n"
    "Important Instruction: Assign category 1 if the passage is somewhat related to the topic but not completely, "
    "category 2 if passage presents something very important related to the entire topic but also has some extra "
    "information and category 3 if the passage only and entirely refers to the topic. If none of the above satisfies "
    "give it category 0.\n"
    "\n"
    "Query: {query}\n"
    "Passage: {doc}\n"
    "\n"
    "Split this problem into steps:\n"
    "Consider the underlying intent of the search.\n"
    "Measure how well the content matches a likely intent of the query (M).\n"
    "Measure how trustworthy the passage is (T).\n"
    "Consider the aspects above and the relative importance of each, and decide on a final score (O). Final score must "
    "be an integer value only.\n"
    "Do not provide any code in result. Provide each score in the format of: ##final score: score without providing "
    "any reasoning."
)


def test_umbrelas_prompt_is_the_published_one_token_for_token(tiny_model: Callable) -> None:
    model = tiny_model("qwen3")
    settings = load(str(ROOT / "configs" / "umbrela.yaml")).reranker.model_copy(
        update={"model": model, "chat_template_kwargs": {}}
    )
    frame = f"<|im_start|>user\n{PUBLISHED}<|im_end|>\n<|im_start|>assistant\n"
    tokenizer, file = Tokenizer(settings), FileTokenizer(model)
    for query, doc in SOME_PAIRS:
        made = RERANKER.prompt(tokenizer, settings, [Pair(query, doc)])
        assert made == [Prompt([file.fill(frame, query=query, doc=doc)])]
