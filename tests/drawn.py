"""Reads a picture of the report back."""

from xml.etree import ElementTree
from xml.etree.ElementTree import Element


def find_elements(drawn: str, name: str, *kinds: str) -> list[Element]:
    """The elements of that name that have all of these classes."""
    return [one for one in ElementTree.fromstring(drawn).iter(name) if {*kinds} <= {*one.get("class", "").split()}]


def read_numbers(one: Element, *names: str) -> tuple[float, ...]:
    """Some attributes of an element as numbers."""
    return tuple(float(one.get(name, "nan")) for name in names)
