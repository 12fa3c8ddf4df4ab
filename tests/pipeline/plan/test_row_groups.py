"""Each row group lies in one part of its file, and neighbours are read together."""

from itertools import pairwise
from typing import Any

import pytest

from pipeline.plan.splits import RowGroup, join_groups, select_row_groups


class Footer:
    """A footer of row groups of (rows, bytes), each of one column."""

    def __init__(self, *groups: tuple[int, int]):
        self._groups, self.num_row_groups = groups, len(groups)

    def row_group(self, number: int) -> Any:
        rows, size = self._groups[number]
        column = type("Column", (), {"path_in_schema": "doc", "total_uncompressed_size": size})
        return type(
            "Group", (), {"num_rows": rows, "total_byte_size": size, "num_columns": 1, "column": lambda *_: column}
        )()


@pytest.mark.parametrize(
    "groups",
    [
        [(5, 100)],
        [(5, 100), (0, 0), (3, 1), (4, 10_000), (1, 1)],
        [(1, 1)] * 50,
        [(5, 0), (6, 0)],  # of a writer that does not say how large they are
        [(5, 100), (6, 0)],
        [(5, 2**40), (6, 1), (7, 2**62)],
    ],
    ids=str,
)
@pytest.mark.parametrize("size", [1, 2, 3, 10, 997, 2**50 + 1])
@pytest.mark.parametrize("parts", [1, 2, 3, 7, 64])
def test_a_row_group_lies_in_one_part_of_its_file(groups: list[tuple[int, int]], size: int, parts: int) -> None:
    footer: Any = Footer(*groups)
    cuts = [size * part // parts for part in range(parts + 1)]
    found = [
        group for begin, end in pairwise(cuts) for group in select_row_groups(footer, begin / size, end / size, {"doc"})
    ]
    expected, row = [], 0
    for number, (rows, decoded) in enumerate(groups):
        expected += [RowGroup(number, row, row + rows, decoded)] if rows else []
        row += rows
    assert found == expected


# row groups of (number, bytes) -> the numbers of those that are read together, at most 100 bytes
JOINED = [
    ([], []),
    ([(0, 40), (1, 40), (2, 20), (3, 1)], [[0, 1, 2], [3]]),
    ([(0, 40), (2, 40), (3, 40)], [[0], [2, 3]]),
    ([(4, 500), (5, 1), (6, 500), (7, 99), (8, 1)], [[4], [5], [6], [7, 8]]),
]


@pytest.mark.parametrize("groups, numbers", JOINED)
def test_only_neighbours_are_read_together(groups: list[tuple[int, int]], numbers: list[list[int]]) -> None:
    made = [RowGroup(number, 0, 1, size) for number, size in groups]
    assert [[group.number for group in together] for together in join_groups(made, 100)] == numbers
