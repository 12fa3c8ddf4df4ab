"""The one line about a config that is wrong: its key, the value, and what would be right."""

import difflib
from typing import Any

from pydantic import BaseModel, ValidationError

from actors.rerankers import RERANKERS

Model = type[BaseModel]


def describe_error(error: ValidationError, values: dict[str, Any], config: Model, stage: Model) -> str:
    """The first problem as `key = value: what is wrong`, and how many more there are.

    A validator of a section whose message begins with a key of it has said so itself. values: the config as it was
    given. config, stage: the models of a whole config, and of one of its stages.
    """
    problems = error.errors()
    if values.get("stages"):  # the sections of the last one stand beside `stages`, too: each problem counts once
        twice = config.model_fields.keys() & stage.model_fields.keys()
        problems = [problem for problem in problems if not {*problem["loc"][:1]} & twice] or problems
    first = problems[0]
    place, above = first["loc"], ""
    if place[:1] == ("stages",) and len(place) > 1 and isinstance(values["stages"][place[1]], dict):
        values, config = values["stages"][place[1]], stage
        place, above = place[2:], f"stages.{values.get('name') or place[1]}."
    if place[:2] == ("input", "table"):  # pydantic puts the format between
        place = place[:2] + place[3:]
    key = ".".join(str(part) for part in place)
    message = first["msg"].removeprefix("Value error, ")
    match first["type"]:
        case "extra_forbidden":
            line = f"{key} = {first['input']!r}: unknown key{_describe_meant(above, place, values, config)}"
        case "missing":
            line = f"{key}: missing"
        case "union_tag_not_found":
            line = f"{key}.format: missing"
        case "union_tag_invalid":
            line = f"{key}.format = {first['ctx']['tag']!r}: should be one of {first['ctx']['expected_tags']}"
        case _ if not key or message.startswith(f"{key}."):
            line = message
        case _:
            line = f"{key} = {first['input']!r}: {message}"
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return above + line + more


def _describe_meant(above: str, place: tuple[int | str, ...], values: dict[str, Any], model: Model) -> str:
    """The known key that an unknown one looks like, if any does. values, model: of the config, or of its stage."""
    *section, name = map(str, place)
    known: Any = model
    if section == ["reranker"]:
        known = RERANKERS[values["reranker"]["type"]].settings
    elif section == ["input", "table"]:
        return ""
    elif section:
        known = model.model_fields[section[0]].annotation
    close = difflib.get_close_matches(name, [*getattr(known, "model_fields", {})], n=1)
    return f"; is {above}{'.'.join([*section, close[0]])} meant?" if close else ""
