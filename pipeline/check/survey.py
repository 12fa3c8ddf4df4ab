"""`--check`: looks at all that is at hand, a config alone if need be, and says what it could not look at."""

from actors.engines import get_engine
from actors.rerankers.contract import Pair
from pipeline.check.matches import check_first_pairs
from pipeline.check.model import Unreachable, check_model_files, check_tokenizer, describe_checked
from pipeline.check.preflight import (
    check_engine,
    check_input,
    check_output_place,
    list_input,
    make_paths_absolute,
    remove_new_folders,
)
from pipeline.check.prompt import compare_with_auto, describe_prompt
from pipeline.check.weights import check_weights
from pipeline.cluster.demand import check_relative
from pipeline.config import Config
from pipeline.config.stages import list_positions, make_stage_config
from pipeline.errors import NotHere, RunError, StoreError, UsageError
from pipeline.input.columns import describe_columns
from pipeline.input.first_pair import read_first_pairs
from pipeline.input.footers import FirstFile
from pipeline.input.listing import InputFile
from pipeline.input.names import describe_passed_over
from pipeline.input.result import read_result
from pipeline.storage.folder import Folder, check_writable
from pipeline.storage.urls import is_local

Lines = list[str]
First = tuple[InputFile, FirstFile]


def survey(config: Config) -> tuple[Lines, Lines]:
    """Lines about what is good, and about what could not be checked; of a config with stages those about a model begin
    with the name of its stage. Raises UsageError for what is wrong."""
    good, unknown = ["the config"], ["the footers after the first, the values of engine arguments, free GPUs"]
    stages = [(f"stage {at.stage.name}: ", make_stage_config(at)) for at in list_positions(config)] or [("", config)]
    for _, one in stages:
        check_relative(one)
    stages = [(name, make_paths_absolute(one)) for name, one in stages]
    first = _look_at_input(stages[0][1], good, unknown)
    for _, one in stages:
        check_output_place(one)
    _look_at_output(stages[-1][1], good, unknown)
    _look_at_reuse(stages[0][1], good, unknown)
    for name, one in stages:
        found: tuple[Lines, Lines] = ([], [])
        try:
            _look_at_model(one, first, *found)
        except UsageError as error:
            raise type(error)(f"{name}{error}") from None
        for lines, more in zip((good, unknown), found, strict=True):
            lines += [name + line for line in more]
    return good, unknown


def _look_at_input(config: Config, good: Lines, unknown: Lines) -> First | None:
    """The first file; None where it is not at hand."""
    try:
        config, (files, passed_over) = list_input(config)
        first = check_input(config, files)
        file = next(file for file in files if file.path == first.path)
        read_first_pairs(file, first.columns, config.reranker)
    except NotHere as error:
        unknown.append(str(error))
        return None
    except UsageError:
        raise
    except RunError as error:  # the store does not answer from here
        unknown.append(str(error))
        return None
    good.append(f"{len(files)} input file(s), by the schema of the first: {describe_columns(first.columns)}")
    if passed_over:
        unknown.append(describe_passed_over(passed_over))
    return file, first


def _look_at_output(config: Config, good: Lines, unknown: Lines) -> None:
    try:
        with remove_new_folders(config):
            check_writable("output.path", config.output.path)
        good.append("that the output can be written")
    except StoreError as error:
        unknown.append(str(error))
    except UsageError as error:
        if is_local(config.output.path):
            raise
        unknown.append(str(error))


def _look_at_reuse(config: Config, good: Lines, unknown: Lines) -> None:
    for path in config.run.reuse:
        try:
            result = read_result(Folder(path))
        except RunError as error:
            unknown.append(f"run.reuse: {error}")
            continue
        if result:
            good.append(
                f"that {path} is a finished result (run.reuse); a run says whether its scores are of this model"
            )
        else:
            unknown.append(f"run.reuse: {path} has no finished result, or is not there")


def _look_at_model(config: Config, first: First | None, good: Lines, unknown: Lines) -> None:
    """The engine, the model's files, and the prompt of the input's first row, where that is at hand."""
    try:
        engine = get_engine(config.engine)
        good.append(f"the names of the engine arguments, with {engine.name} {engine.installed().version}")
        check_engine(config)
    except LookupError as error:
        good.pop()
        unknown.append(f"engine: {error}")
    pairs: list[Pair] = read_first_pairs(first[0], first[1].columns, config.reranker) if first else []
    try:
        config = check_model_files(config, weights=False)
        tokenizer = check_tokenizer(config)
        check_first_pairs(tokenizer, config.reranker, pairs)
        words = describe_checked(config, tokenizer)
        if left := check_weights(config, tokenizer):
            unknown.append(left)
        else:
            words.append("names and shapes of the weights")
        good.append(f"the model's {', '.join(words)}")
        good += describe_prompt(tokenizer, config.reranker, pairs[0] if pairs else None)
        if line := compare_with_auto(tokenizer, config.reranker):
            good.append(line)
    except (NotHere, Unreachable) as error:
        unknown.append(f"{error} (so no tokenizer, template, labels or weights)")
