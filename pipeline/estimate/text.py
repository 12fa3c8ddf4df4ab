"""A dry run in words: what a person reads before they spend the money."""

import math
from typing import Any

from pipeline.score.progress import format_clock

NO_START = "the engines' start is not known, and not included"


def describe_estimate(about: dict[str, Any]) -> list[str]:
    """The lines of `dry_run`'s data."""
    word = "" if about["exact"] else "about "
    lines = [f"to score  {word}{about['pairs']:,} pairs in {word}{about['units']:,} units of {about['files']:,} files"]
    if about["pairs_scored"]:
        lines.append(f"          {about['pairs_scored']:,} pairs are scored already, and stay")
    if about["units_failed"]:
        failed = f"{about['units_failed']:,}"
        lines.append(f"          rows of {failed} units, or fewer, are scored once more, which is not estimated")
    if about.get("known") is not None:
        new = round(about["pairs"] * (1 - about["known"]))
        lines.append(
            f"          {about['known']:.1%} of them, about, are known by their texts: {new:,} are left to score"
        )
    if "prompt_tokens" not in about:
        left = "nothing else" if about["units_failed"] else "nothing"
        return [*lines, f"          {left} is left to score: the run would fuse and rank"]
    lines += [*_describe_tokens(about), *_describe_hours(about), *_describe_memory(about)]
    return lines + [f"warning   {line}" for line in about["warnings"]]


def _describe_tokens(about: dict[str, Any]) -> list[str]:
    drawn, each = about["sampled"], about["tokens_per_prompt"]
    total, error = about["prompt_tokens"], about["prompt_tokens_error"]
    sure = f"+-{error / max(1, total):.1%} with 95% confidence" if error else "counted"
    lines = [f"sample    {drawn['rows']:,} prompts of rows drawn at random from {drawn['units']:,} units"]
    if each["mean"] is not None:
        lines += [
            f"tokens    {total:,} in the prompts ({sure})",
            f"          a prompt: mean {each['mean']:,.1f}, p95 {each['p95']:,}, longest seen {each['max']:,}; "
            f"{about['truncated']:.1%} of them truncated",
        ]
    if "windows" in about:
        lines.append(
            f"          {about['windows']:,} windows; where candidates are sorted by comparisons, about as many "
            "as random answers lead to"
        )
    elif "new_tokens" in about:
        lines.append("          first prompts alone: what is asked again, with what the model wrote, is not estimated")
    if (new := about.get("new_tokens")) and new[0] == new[1]:
        lines.append(f"          {new[0]:,} new ones, as many a pair as in the earlier run")
    elif new:
        lines.append(
            f"          {new[0]:,} to {new[1]:,} new ones: not known without a run; the most is "
            f"{about['most_new_tokens']:,} each"
        )
    return lines + [f"no score  {share:.2%} of the rows: {reason}" for reason, share in about["unusable"].items()]


def _describe_hours(about: dict[str, Any]) -> list[str]:
    if "rate" not in about:
        return ["hours     not known without a rate: --from-manifest OUTPUT of an earlier run, or --pairs-per-second N"]
    rate, workers, gpus = about["rate"], about["workers"][1], about["gpus_per_worker"]
    start = rate["start"]
    known, term = NO_START if start is None else "the engines' start is in the rate", "worker hours"
    if start:
        known = f"with {start:.0f} s until the engines have started"
        term = f"(worker hours + {workers:,} workers x {start:.0f} s of starting)"
    lines = [f"rate      {rate['source']}", *(f"          {line}" for line in rate["formula"])]
    lines += [f"          unlike there: {line}" for line in rate["differs"]]
    lines.append(f"hours     {_format_range(about['worker_hours'])} of one worker, scoring")
    lines.append(
        f"          {format_clock(round(about['score_seconds']))} expected on {workers:,} workers, as if they shared "
        f"the work evenly; {known}"
    )
    if "gpu_hours" in about:
        lines.append(f"          {_format_range(about['gpu_hours'])} GPU hours = {term} x {gpus:g} GPUs")
    if "cost" in about:
        lines.append(
            f"cost      {_format_range(about['cost'])} = GPU hours x price" + f"; {NO_START}" * (start is None)
        )
    return lines


def _describe_memory(about: dict[str, Any]) -> list[str]:
    need, mean = about["memory"], about["tokens_per_prompt"]["mean"]
    weights = "of unknown size" if need["weights"] is None else _format_bytes(need["weights"])
    lines = [f"memory    of one engine, estimated: weights {weights} ({need['dtype']})"]
    if need["token"]:
        lines.append(
            f"          keys and values {_format_bytes(need['token'])} a token: "
            f"{_format_bytes(need['token'] * need['limit'])} for a request that fills the context of {need['limit']:,}"
            + (f", {_format_bytes(need['token'] * mean)} for a mean prompt" if mean else "")
        )
    return [*lines, "          activations, graphs and the engine's own buffers come on top"]


def _format_range(values: dict[str, float]) -> str:
    least, most, expected = (_format_figures(values[name]) for name in ("least", "most", "expected"))
    return f"{least} to {most} ({expected} expected)"


def _format_figures(value: float) -> str:
    """Two figures: an estimate has no more."""
    if value == 0:
        return "0"
    digits = 1 - math.floor(math.log10(abs(value)))
    return f"{round(value, digits):,.{max(0, digits)}f}"


def _format_bytes(size: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:,.1f} GB"
