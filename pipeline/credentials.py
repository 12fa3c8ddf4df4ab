"""Keeps credentials out of configs, and so out of manifests, messages and logs: they are refused, and never repeated.

Code that needs one takes it from the environment or the machine's role.
"""

import re
from typing import Any

from pipeline.errors import UsageError

# Keys of engine.*, of fsspec's storage options and of whatever else is tried.
NAMES = re.compile(
    r"(^|[_.-])(passw(or)?d|secret|secret_(access_)?key|access_key(_id)?|api_?key|private_key|account_key|credentials?"
    r"|connection_string|(hf|auth|access|session|security|sas|bearer|refresh)_?token)$",
    re.IGNORECASE,
)
VALUES = re.compile(
    r"://[^/\s]*:[^/\s]*@"  # user:password@host
    r"|\b(https?|s3a?|gs|gcs|hf)://[^/\s]*@"  # token@host; elsewhere a name may stand there, as in sftp://me@host
    r"|[?&][^=&/?\s]*(signature|credential|token|secret|passw|key|\bsig)[^=&/?\s]*="  # a signed URL
    r"|\b(hf_[A-Za-z0-9]{30,}|(AKIA|ASIA)[A-Z0-9]{16}|gh[a-z]_[A-Za-z0-9]{30,})\b",
    re.IGNORECASE,
)


def refuse_credentials(value: Any, *keys: str) -> None:
    """Raises UsageError, naming the key alone, where a value of a config, or one in it, looks like a credential.

    keys: where the value stands, from the outside in.
    """
    named = bool(keys) and NAMES.search(keys[-1]) and keys[-2:-1] not in (("labels",), ("values",))
    if named or (isinstance(value, str) and VALUES.search(value)):
        raise UsageError(
            f"{'.'.join(keys)}: credentials come from the environment (AWS_SECRET_ACCESS_KEY, HF_TOKEN, ...) or the "
            "machine's role, never from a config"
        )
    if isinstance(value, dict):
        for key, inner in value.items():
            refuse_credentials(inner, *keys, str(key))
    elif isinstance(value, list):
        for inner in value:
            refuse_credentials(inner, *keys)
