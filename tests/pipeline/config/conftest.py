"""What tests of configs share."""


def split_overrides(overrides: str) -> list[str]:
    """Overrides apart from each other: at a space before the next key."""
    parts: list[str] = []
    for word in overrides.split(" "):
        if not parts or ("=" in word and "." in word.partition("=")[0]) or word == "rows=3":
            parts.append(word)
        else:
            parts[-1] += f" {word}"
    return parts
