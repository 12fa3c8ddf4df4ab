"""pipeline/config: defaults, overrides, and the one line that a wrong config gets."""

from pathlib import Path

import pytest

from pipeline.config import Config, load
from pipeline.errors import UsageError
from tests.pipeline.config.conftest import assert_refused

SMALLEST = """
input: {path: pairs.parquet}
reranker: {type: bi_encoder, model: some/model}
output: {path: out}
"""


@pytest.fixture
def config_file(tmp_path: Path) -> str:
    path = tmp_path / "config.yaml"
    path.write_text(SMALLEST)
    return str(path)


def test_defaults_are_those_of_the_design(config_file: str) -> None:
    assert load(config_file).model_dump() == {
        "input": {
            "path": ["pairs.parquet"],
            "table": None,
            "columns": {},
            "duplicates": "first",
            "lower_is_better": False,
        },
        "reranker": {
            "type": "bi_encoder",
            "model": "some/model",
            "revision": None,
            "adapter": None,
            "adapter_revision": None,
            "trust_remote_code": False,
            "passages": None,
            "max_query_tokens": None,
            "max_doc_tokens": None,
            "query_template": "{query}",
            "doc_template": "{doc}",
        },
        "engine": {},
        "workers": {"count": [1, 1], "num_gpus": None, "num_cpus": None, "accelerator_type": None},
        "fusion": {"method": "zscore", "alpha": 0.2, "k": 60},
        "output": {"path": "out", "top_k": None, "columns": [], "explain": False},
        "run": {
            "unit_rows": None,
            "max_failed": 0.01,
            "min_label_share": 0.05,
            "on_existing": "resume",
            "on_gone": "refuse",
            "retry_failed": False,
            "accept": [],
            "reuse": [],
            "deterministic": False,
            "until": None,
            "stall_seconds": 1800,
            "shared_filesystem": False,
        },
        "stages": [],
    }


def test_the_reranker_section_has_the_settings_of_its_type(config_file: str) -> None:
    bi_encoder = load(config_file, ["reranker.query_template='query: {query}'"]).reranker
    assert getattr(bi_encoder, "query_template") == "query: {query}"  # noqa: B009
    lb = load(config_file, ["reranker.type=lb", "reranker.score=notebook"]).reranker
    assert getattr(lb, "score") == "notebook"  # noqa: B009


OVERRIDES = [
    ("fusion.alpha=0.3", ("fusion", "alpha"), 0.3),
    ("fusion.alpha=1", ("fusion", "alpha"), 1),
    ("fusion.method=none", ("fusion", "method"), "none"),
    ("output.top_k=5", ("output", "top_k"), 5),
    ("output.columns=[query, doc]", ("output", "columns"), ["query", "doc"]),
    ("output.explain=true", ("output", "explain"), True),
    ("output.path=s3://bucket/a=b/out", ("output", "path"), "s3://bucket/a=b/out"),
    ("output.path='2026-11-21'", ("output", "path"), "2026-11-21"),
    ("output.path=2026-02-30", ("output", "path"), "2026-02-30"),  # YAML sees a date in it, and fails
    ("input.path=*.parquet", ("input", "path"), ["*.parquet"]),  # YAML sees an alias in it, and fails
    ("input.path=[a.parquet, b.parquet]", ("input", "path"), ["a.parquet", "b.parquet"]),
    ("input.columns.doc=passage", ("input", "columns"), {"doc": "passage"}),
    ("input.columns={doc: passage, query: q}", ("input", "columns"), {"doc": "passage", "query": "q"}),
    ("engine.dtype=float32", ("engine", "dtype"), "float32"),
    ("engine.hf_overrides.rope.factor=4", ("engine", "hf_overrides"), {"rope": {"factor": 4}}),
    ("workers.count=3", ("workers", "count"), [3, 3]),
    ("workers.count=[1, 4]", ("workers", "count"), [1, 4]),
    ("workers.num_gpus=0.5", ("workers", "num_gpus"), 0.5),
    ("run.unit_rows=", ("run", "unit_rows"), None),
    ("run.stall_seconds=60", ("run", "stall_seconds"), 60),
    ("input.duplicates=last", ("input", "duplicates"), "last"),
    ("run.on_gone=drop", ("run", "on_gone"), "drop"),
    ("run.retry_failed=true", ("run", "retry_failed"), True),
    ("run.accept=[engine]", ("run", "accept"), ["engine"]),
]


@pytest.mark.parametrize("override, key, value", OVERRIDES, ids=[override for override, _, _ in OVERRIDES])
def test_an_override_is_yaml_and_makes_the_sections_it_needs(
    config_file: str, override: str, key: tuple[str, str], value: object
) -> None:
    section, name = key
    assert load(config_file, [override]).model_dump()[section][name] == value


def test_the_last_of_two_overrides_stands(config_file: str) -> None:
    assert load(config_file, ["fusion.alpha=0.3", "fusion.alpha=0.4"]).fusion.alpha == 0.4


def test_an_override_replaces_what_the_file_says_and_leaves_the_rest(config_file: str) -> None:
    config = load(config_file, ["reranker.model=other/model"])
    assert (config.reranker.model, config.reranker.type, config.input.path) == (
        "other/model",
        "bi_encoder",
        ["pairs.parquet"],
    )


def test_a_column_is_named_as_in_the_mapping_or_by_its_own_name(config_file: str) -> None:
    section = load(config_file, ["input.columns.doc=passage"]).input
    assert (section.column("doc"), section.column("query")) == ("passage", "query")


def test_a_config_cannot_be_changed(config_file: str) -> None:
    config = load(config_file)
    with pytest.raises(ValueError, match="frozen"):
        config.fusion = config.fusion
    with pytest.raises(ValueError, match="frozen"):
        config.fusion.alpha = 0.5


# Overrides, and what the line must contain: the key, the value, and what would be right.
WRONG = [
    # unknown keys and sections
    ("fusion.weight=1", "fusion.weight = 1: unknown key"),
    ("fussion.alpha=1", "fussion = {'alpha': 1}: unknown key; is fusion meant?"),
    ("output.topk=3", "output.topk = 3: unknown key; is output.top_k meant?"),
    ("reranker.max_query_token=3", "reranker.max_query_token = 3: unknown key; is reranker.max_query_tokens meant?"),
    ("rows=3", "rows = 3: unknown key"),
    ("reranker.max_tokens=3", "reranker.max_tokens = 3: unknown key"),
    ("reranker.type=lb reranker.query_template=x", "reranker.query_template = 'x': unknown key"),
    ("input.columns.document=text", "input.columns.document = 'text': no column of a pair; those are query_id, query"),
    ("engine.model=x", "engine.model = 'x': is set by the reranker section"),
    ("engine.revision=x", "engine.revision = 'x': is set by the reranker section"),
    ("engine.runner=x", "engine.runner = 'x': is set by the reranker section"),
    ("engine.trust_remote_code=true", "engine.trust_remote_code = True: is set by the reranker section"),
    # missing
    ("reranker={type: lb}", "reranker.model: missing"),
    ("reranker={model: m}", "reranker.type: missing; known rerankers are erank, rank1, lb"),
    ("input={}", "input.path: missing; or give input.table"),
    ("input.table.format=delta input.table.path=a", "input.table: stands beside input.path"),
    ("input={} input.table.format=delta", "input.table.path: missing"),
    ("input={} input.table.path=a", "input.table.format: missing"),
    ("input={} input.table.format=hudi", "input.table.format = 'hudi': should be one of 'delta', 'iceberg'"),
    ("input={} input.table.format=iceberg input.table.catalog=a", "input.table.name: missing"),
    (
        "input={} input.table.format=delta input.table.path=a input.table.versio=3",
        "input.table.versio = 3: unknown key",
    ),
    ("input={} input.table.format=delta input.table.path=a input.table.version=-1", "input.table.version = -1: Input"),
    ("output={}", "output.path: missing"),
    # unknown names
    ("reranker.type=bm25", "reranker.type = 'bm25': unknown; known rerankers are erank, rank1, lb"),
    ("reranker.type=[lb]", "reranker.type = ['lb']: unknown"),
    ("reranker.type=", "reranker.type = None: unknown"),
    ("fusion.method=best", "fusion.method = 'best': known methods are none, zscore, minmax, rrf"),
    ("input.duplicates=best", "input.duplicates = 'best': Input should be 'first' or 'last'"),
    ("run.on_gone=keep", "run.on_gone = 'keep': Input should be 'refuse' or 'drop'"),
    ("run.accept=[model]", "run.accept.0 = 'model': Input should be 'engine'"),
    ("run.accept=engine", "run.accept = 'engine': Input should be a valid list"),
    ("run.retry_failed=yes please", "run.retry_failed = 'yes please': Input should be a valid boolean"),
    ("run.on_existing=append", "run.on_existing = 'append': Input should be 'resume' or 'restart'"),
    ("reranker.type=lb reranker.score=best", "reranker.score = 'best': Input should be 'card', 'notebook'"),
    # wrong types: nothing is turned from one type into another
    ("fusion.alpha=high", "fusion.alpha = 'high': Input should be a valid number"),
    ("fusion.alpha='0.3'", "fusion.alpha = '0.3': Input should be a valid number"),
    ("fusion.alpha=true", "fusion.alpha = True: Input should be a valid number"),
    ("fusion.alpha=", "fusion.alpha = None: Input should be a valid number"),
    ("fusion.k=60.5", "fusion.k = 60.5: Input should be a valid integer"),
    ("output.explain=1", "output.explain = 1: Input should be a valid boolean"),
    ("output.path=3", "output.path = 3: Input should be a valid string"),
    ("output.path=2026-11-21", "output.path = datetime.date(2026, 11, 21): Input should be a valid string"),
    ("output.columns=query", "output.columns = 'query': Input should be a valid list"),
    ("input.path=3", "input.path = 3: Input should be a valid list"),
    ("input.path=[a, 3]", "input.path.1 = 3: Input should be a valid string"),
    ("input=pairs.parquet", "input = 'pairs.parquet': Input should be"),
    ("input.columns=[doc]", "input.columns = ['doc']: Input should be a valid dictionary"),
    ("input.columns.doc=3", "input.columns.doc = 3: Input should be a valid string"),
    ("workers.count=auto", "workers.count = 'auto': should be a whole number above 0, or two as [min, max]"),
    ("workers.count=true", "workers.count = True: should be a whole number above 0"),
    ("reranker.revision=1234567", "reranker.revision = 1234567: Input should be a valid string"),
    ("reranker=lb", "reranker.type: missing"),
    ("engine.type=sglang", "engine.type = 'sglang': unknown; known engines are vllm, transformers"),
    ("engine.type=4", "engine.type = 4: unknown; known engines are vllm, transformers"),
    ("engine.type=transformers engine.revision=x", "engine.revision = 'x': is set by the reranker section"),
    ("engine.type=transformers engine.dtype=fp8", "engine.dtype = 'fp8': should be one of auto, float32"),
    ("engine=fast", "engine = 'fast': Input should be a valid dictionary"),
    # wrong values
    ("fusion.alpha=1.5", "fusion.alpha = 1.5: Input should be less than or equal to 1"),
    ("fusion.alpha=-0.1", "fusion.alpha = -0.1: Input should be greater than or equal to 0"),
    ("fusion.alpha=.nan", "fusion.alpha = nan: Input should be a finite number"),
    ("fusion.k=0", "fusion.k = 0: Input should be greater than or equal to 1"),
    ("input.path=[]", "input.path: missing; or give input.table"),
    ("input.path=null", "input.path: missing; or give input.table"),
    ("input.path=''", "input.path.0 = '': String should have at least 1 character"),
    ("output.path=''", "output.path = '': String should have at least 1 character"),
    ("output.top_k=0", "output.top_k = 0: Input should be greater than or equal to 1"),
    ("output.columns=[rank]", "output.columns = ['rank']: 'rank' is already a column of the output"),
    ("output.columns=[query, query]", "output.columns = ['query', 'query']: a column is named twice"),
    ("input.columns.query=text input.columns.doc=text", "input.columns.doc = 'text': is the column of query, too"),
    ("input.columns.doc=query", "input.columns.doc = 'query': is the column of query, too"),
    ("input.columns.title=doc", "input.columns.title = 'doc': is the column of doc, too"),
    ("reranker.query_template='{instruction} {query}'", "has no place for {instruction}, and the model would read"),
    ("reranker.doc_template='{title} {doc}'", "has no place for {title}, and the model would read these letters; a"),
    ("reranker.doc_template='{doc} {query}'", "has no place for {query}, and the model would read these letters"),
    ("workers.count=0", "workers.count = 0: should be a whole number above 0, or two as [min, max]"),
    ("workers.count=[3, 1]", "workers.count = [3, 1]: the smaller number of [min, max] comes first"),
    ("workers.count=[1, 2, 3]", "workers.count = [1, 2, 3]: should be a whole number above 0, or two as [min, max]"),
    ("reranker.type=erank reranker.instruction=brigth", "reranker.instruction = 'brigth': is one word, and none of"),
    ("workers.num_gpus=-1", "workers.num_gpus = -1: Input should be greater than or equal to 0"),
    ("workers.num_gpus=.inf", "workers.num_gpus = inf: Input should be a finite number"),
    (
        "reranker.type=rankinggpt engine.tensor_parallel_size=2",
        "engine.tensor_parallel_size = 2: reranker.type = 'rankinggpt' needs its model on one GPU",
    ),
    ("workers.num_gpus=0.5 engine.tensor_parallel_size=2", "workers.num_gpus = 0.5: a fraction of a GPU goes only"),
    ("workers.num_gpus=0.5 engine.pipeline_parallel_size=2", "workers.num_gpus = 0.5: a fraction of a GPU goes only"),
    ("engine.tensor_parallel_size='2'", "engine.tensor_parallel_size = '2': should be a whole number above 0"),
    ("engine.pipeline_parallel_size=0", "engine.pipeline_parallel_size = 0: should be a whole number above 0"),
    ("run.unit_rows=0", "run.unit_rows = 0: Input should be greater than or equal to 1"),
    ("run.max_failed=1.01", "run.max_failed = 1.01: Input should be less than or equal to 1"),
    ("run.stall_seconds=0", "run.stall_seconds = 0: Input should be greater than 0"),
    ("reranker.max_doc_tokens=2", "reranker.max_doc_tokens = 2: Input should be greater than or equal to 3"),
    ("reranker.doc_template=text", "reranker.doc_template = 'text': must contain {doc}"),
    # overrides of a wrong form
    ("fusion.alpha", "'fusion.alpha': an override has the form dotted.key=value"),
    ("=1", "'=1': an override has the form dotted.key=value"),
    ("fusion..alpha=1", "'fusion..alpha=1': an override has the form dotted.key=value"),
    ("input.path.first=a", "'input.path.first=a': input.path = 'pairs.parquet' has no keys below it"),
    # several at once: the first, and how many more
    ("fusion.alpha=2 fusion.method=borda rows=3", "fusion.method = 'borda': known methods"),
    ("fusion.alpha=2 fusion.method=borda rows=3", "(and 2 more)"),
]


@pytest.mark.parametrize("overrides, line", WRONG, ids=[overrides for overrides, _ in WRONG])
def test_a_wrong_config_is_one_line_that_names_the_key_and_the_value(
    config_file: str, overrides: str, line: str
) -> None:
    assert_refused(config_file, overrides, line)


WRONG_FILES = [
    ("input: [unclosed", "not valid YAML"),
    ("input: {path: 2026-02-30}", "not valid YAML: day is out of range"),
    ("a: *nowhere", "not valid YAML"),
    ("- a list", "a config is a mapping of sections"),
    ("just text", "a config is a mapping of sections"),
    ("", "a config is a mapping of sections"),
    ("input: !!python/object/apply:os.system [exit 1]", "not valid YAML: line 1: could not determine a constructor"),
    ("input: !!python/name:os.system", "not valid YAML: line 1: could not determine a constructor"),
]


@pytest.mark.parametrize("text, line", WRONG_FILES, ids=[text for text, _ in WRONG_FILES])
def test_a_file_that_is_no_config_is_one_line_that_names_it(tmp_path: Path, text: str, line: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(UsageError) as error:
        load(str(path))
    assert str(error.value).startswith(f"{path}: {line}")
    assert "\n" not in str(error.value)


def test_a_config_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"missing\.yaml: cannot read the config: No such file"):
        load(str(tmp_path / "missing.yaml"))
    with pytest.raises(UsageError, match="cannot read the config: Is a directory"):
        load(str(tmp_path))
    (tmp_path / "latin1.yaml").write_bytes("model: é".encode("latin-1"))
    with pytest.raises(UsageError, match=r"latin1\.yaml: cannot read the config: .*utf-8"):
        load(str(tmp_path / "latin1.yaml"))


def test_every_config_of_the_repository_is_valid() -> None:
    configs = sorted((Path(__file__).resolve().parents[3] / "configs").glob("*.yaml"))
    assert configs
    for path in configs:
        assert isinstance(load(str(path)), Config), path
