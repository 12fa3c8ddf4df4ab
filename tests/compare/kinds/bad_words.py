"""Overrides, routes and YAML that are wrong. {place} is the folder that kinds/bad.py makes."""

from typing import Any

OVERRIDES = """\
fusion.weight=1
fussion.alpha=1
output.topk=3
reranker.max_query_token=3
rows=3
reranker.type=lb reranker.query_template=x
input.columns.document=text
engine.model=x
engine.revision=x
engine.runner=x
engine.trust_remote_code=true
reranker={type: lb}
reranker={model: m}
input={}
output={}
reranker.type=bm25
reranker.type=[lb]
reranker.type=
fusion.method=borda
run.on_existing=append
reranker.type=lb reranker.score=best
fusion.alpha=high
fusion.alpha='0.3'
fusion.alpha=true
fusion.alpha=
fusion.k=60.5
output.explain=1
output.path=3
output.path=2026-11-21
output.columns=query
input.path=3
input.path=[a, 3]
input=pairs.parquet
input.columns=[doc]
input.columns.doc=3
workers.count=auto
workers.count=true
reranker.revision=1234567
reranker=lb
engine=fast
fusion.alpha=1.5
fusion.alpha=-0.1
fusion.alpha=.nan
fusion.k=0
input.path=[]
input.path=''
output.path=''
output.top_k=0
output.columns=[rank]
output.columns=[query, query]
workers.count=0
workers.count=[3, 1]
workers.count=[1, 2, 3]
reranker.type=erank reranker.instruction=brigth
workers.num_gpus=-1
workers.num_gpus=.inf
reranker.type=rankinggpt engine.tensor_parallel_size=2
workers.num_gpus=0.5 engine.tensor_parallel_size=2
engine.tensor_parallel_size='2'
run.unit_rows=0
run.max_failed=1.01
run.stall_seconds=0
reranker.max_doc_tokens=2
reranker.doc_template=text
fusion.alpha
=1
fusion..alpha=1
input.path.first=a
fusion.alpha=2 fusion.method=borda rows=3
input.columns.instruction=how
engine.max_tokens=5
engine.max_model_len=long
engine.max_model_len=0
engine.dtype=float99
reranker.type=lb
reranker.type=erank
reranker.type=rank1
reranker.type=qwen3
reranker.type=mxbai
reranker.type=bge_gemma
reranker.type=rankinggpt
reranker.type=label
reranker.type=label reranker.prompt='{query} {doc}' reranker.labels={a: 1}
reranker.type=label reranker.prompt='{query} {doc}' reranker.labels={zzqqx: 1, no: 0}
output.path=s3://key:secret@bucket/out
input.path=https://user:password@host/pairs.parquet
engine.hf_token=hf_abcdefghijklmnopqrstuvwxyzabcdefgh
reranker.trust_remote_code=1
workers.num_gpus=1
workers.num_cpus=99
s3://bucket/pairs""".splitlines()

ROUTES = """\
input.path={place}/missing.parquet
input.path={place}/missing
input.path=[{place}/pairs.parquet,{place}/no]
input.path={place}/pairs.parquet/x.parquet
input.path={place}/empty
input.path={place}/*.orc
input.path={place}/links
input.path={place}/links/nowhere.parquet
input.path={place}/unfinished
input.path=s4://bucket/pairs
input.path={place}/zero.parquet
input.path={place}/text.parquet
input.path={place}/half.parquet
input.path={place}/hole.parquet
input.path={place}/no-doc.parquet
input.path={place}/break.parquet
input.columns.doc=passage
input.columns.doc_id=key
input.columns.title=heading
input.path={place}/int-text.parquet
input.path={place}/list-text.parquet
input.path={place}/string-score.parquet
input.path={place}/nested-id.parquet
output.columns=[url]
output.columns=[tag] input.path={place}/carried
output.path={place}/text.parquet/out
output.path=/proc/out
output.path=s4://bucket/out
output.path=s3://a*b/out
input.path={place}/shards output.path={place}/shards/out
input.path={place}/day[1] output.path={place}/day[1]/out
input.path={place}/s* output.path={place}/scored/out
input.path={place}/shards/ output.path={place}/empty/../shards
input.path=/{place}/result/ranked/part.parquet output.path={place}/result
reranker.model={place}/missing
reranker.model={place}/pairs.parquet
reranker.model={place}/no-config
reranker.model={place}/no-weights
reranker.model={place}/broken-tokenizer
reranker.model={place}/no-tokenizer
workers.num_gpus=3 workers.count=0""".splitlines()

YAML = [
    "input: {path: [\n",
    "input: [unclosed",
    "input: {path: 2026-02-30}",
    "a: *nowhere",
    "- input\n",
    "just text",
    "",
    "input: !!python/object/apply:os.system [exit 1]",
    "input: !!python/name:os.system",
    "input: {path: a}\noutput: {path: b}\n",
    "input: {path: a}\ninput: {path: b}\nreranker: {type: lb, model: m}\noutput: {path: b}\nmore: 1\n",
]

CONFIGS: dict[str, dict[str, Any]] = {
    "no input": {"input": {"path": []}},
    "nothing wrong": {"run": {"max_failed": 1}},
    "too many GPUs": {"workers": {"num_gpus": 2}},
    "too many CPUs": {"workers": {"num_cpus": 64}},
    "a missing model": {"reranker": {"model": "nobody/no-model"}},
    "a number as a name": {"output": {"columns": ["doc", 3]}},
    "a carried type that differs": {"output": {"columns": ["tag"]}},
    "a context too small": {"engine": {"max_model_len": 2}},
    "a context too large": {"engine": {"max_model_len": 100_000}},
    "a key of no section": {"extra": {"a": 1}},
    "deterministic": {"run": {"deterministic": True, "max_failed": 1}, "fusion": {"alpha": 1}},
}
