"""Credentials in a config are refused, by a line that names the key and repeats nothing."""

from typing import Any

import pytest

from pipeline.config import load, parse
from pipeline.credentials import refuse_credentials
from pipeline.errors import UsageError

SECRET = "hunter2SECRET"
GOOD: dict[str, Any] = {
    "input": {"path": "a"},
    "output": {"path": "b"},
    "reranker": {"type": "lb", "model": "m"},
    "engine": {},
}

REFUSED: dict[str, list[Any]] = {
    # in URLs
    "input.path": [
        f"s3://AKIA:{SECRET}@bucket/pairs",
        f"sftp://bob:{SECRET}@host/data",
        f"sftp://bob:{SECRET}@more@host/data",
        f"simplecache::ftp://bob:{SECRET}@host/data",
        f"https://{SECRET}@host/pairs.parquet",
        f"https://host/pairs.parquet?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature={SECRET}",
        f"https://host/pairs.parquet?AWSAccessKeyId={SECRET}&Expires=1",
        f"https://account.blob.core.windows.net/c/pairs.parquet?sv=2024-01-01&sig={SECRET}",
        f"https://host/pairs.parquet?access_token={SECRET}",
        ["s3://bucket/good", f"s3://key:{SECRET}@bucket/pairs"],
    ],
    "output.path": [f"s3://key:{SECRET}@bucket/ranked"],
    "reranker.model": [f"https://me:{SECRET}@huggingface.co/m", f"s3://key:{SECRET}@bucket/model", "hf_" + 34 * "a"],
    # by name
    "engine.hf_token": [SECRET, True],
    "engine.model_loader_extra_config": [{"aws_secret_access_key": SECRET}, {"s3": [{"password": SECRET}]}],
    "engine.hf_overrides.api_key": [SECRET],
    "input.storage_options": [{"key": "AKIA", "secret": SECRET}, {"account_key": SECRET}],
    "reranker.hf_token": [SECRET],
    "fusion.password": [SECRET],
    "aws_secret_access_key": [SECRET],
}


@pytest.mark.parametrize("key, value", [(key, value) for key, values in REFUSED.items() for value in values])
def test_it_is_refused_and_not_repeated(key: str, value: Any) -> None:
    *sections, name = key.split(".")
    values = {section: dict(keys) for section, keys in GOOD.items()}
    inner = values
    for section in sections:
        inner = inner.setdefault(section, {})
    inner[name] = value
    with pytest.raises(UsageError) as error:
        parse(values)
    assert str(error.value).startswith(key) and "credentials come from the environment" in str(error.value)
    assert not any(word in str(error.value) for word in ("hunter2", "SECRET@", "more@", "bob", "aaaa", "AKIA"))


@pytest.mark.parametrize(
    "override",
    [
        f"s3://key:{SECRET}@bucket/pairs",
        f"https://host/pairs?X-Amz-Signature={SECRET}",
        f"input.path.password={SECRET}",
        f"output.path=s3://k:{SECRET}@b/out",
        f"x.secret={SECRET}",
    ],
)
def test_an_override_of_a_wrong_form_is_not_repeated_either(override: str, tmp_path: Any) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("input: {path: a}\noutput: {path: b}\nreranker: {type: lb, model: m}\n")
    with pytest.raises(UsageError, match="credentials come from the environment") as error:
        load(str(path), [override])
    assert SECRET not in str(error.value)


def test_a_config_that_is_no_yaml_is_not_repeated(tmp_path: Any) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"engine:\n  hf_token: '{SECRET}\n")
    with pytest.raises(UsageError, match="not valid YAML: line 3: found unexpected end of stream") as error:
        load(str(path))
    assert SECRET not in str(error.value)


FINE = [
    "s3://bucket/pairs/part-?.parquet",
    "s3://bucket/a:b@c/d.parquet",
    "s3://bucket/a.parquet?versionId=3",
    "/data/me@home:1/pairs",
    "sftp://me@host/data",
    "abfs://container@account.dfs.core.windows.net/pairs",
    "hdfs://namenode:8020/pairs",
    "http://127.0.0.1:9000/pairs.parquet",
    "Is the document relevant? Answer with the token 'yes' = relevant, or 'no'. Mail me@example.com: thanks",
    "hf_model",
    {"classifier_from_token": ["no", "yes"], "max_tokens": 3, "pad_token": "<pad>", "key": "value"},
    {"labels": {"secret": 1.0, "public": 0.0}},
    {"values": {"secret": 1.0, "public": 0.0}},
]


@pytest.mark.parametrize("value", FINE, ids=str)
def test_what_is_no_credential_is_let_through(value: Any) -> None:
    refuse_credentials({"section": {"name": value}})
