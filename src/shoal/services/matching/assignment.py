"""Who goes with whom, so that the gain of all pairs together is the greatest. What a pair gains: pairs.py.

Jonker and Volgenant's way (Computing 38, 1987): one row after the other takes its cheapest way to a free column, and
those before it make room where that costs less in sum. Only pairs that are candidates are looked at.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from heapq import heappop, heappush

Edges = dict[int, list[tuple[int, float]]]


def assign(gains: Mapping[tuple[int, int], float]) -> dict[int, int]:
    """Pairs of rows and columns with the greatest sum of gains; each stands in one pair at most, or in none.

    Takes only pairs that gain something. Of equal sums it takes the same one every time.
    """
    rows: Edges = defaultdict(list)
    columns: dict[int, list[int]] = defaultdict(list)
    for (row, column), gain in sorted(gains.items()):
        if gain > 0:
            rows[row].append((column, gain))
            columns[column].append(row)
    chosen: dict[int, int] = {}
    met: set[int] = set()
    for first in rows:
        if first not in met:
            chosen.update(_component(_reach(first, rows, columns, met), rows))
    return chosen


def _reach(first: int, rows: Edges, columns: Mapping[int, list[int]], met: set[int]) -> list[int]:
    """The rows that compete with one for columns, or with those that do."""
    met.add(first)
    found = [first]
    for row in found:
        for column, _ in rows[row]:
            for other in columns[column]:
                if other not in met:
                    met.add(other)
                    found.append(other)
    return sorted(found)


def _component(rows: list[int], edges: Edges) -> dict[int, int]:
    if len(rows) == 1:
        column, _ = max(edges[rows[0]], key=lambda edge: (edge[1], -edge[0]))
        return {rows[0]: column}
    top = max(gain for row in rows for _, gain in edges[row])
    # To stay alone is a column of its own, below zero, that gains nothing.
    costs = {row: [*((column, top - gain) for column, gain in edges[row]), (-1 - row, top)] for row in rows}
    owner: dict[int, int] = {}
    mate: dict[int, int] = {}
    of_row: dict[int, float] = dict.fromkeys(rows, 0.0)
    of_column: dict[int, float] = defaultdict(float)
    for start in rows:
        _place(start, costs, owner, mate, of_row, of_column)
    return {row: column for row, column in mate.items() if column >= 0}


def _place(
    start: int,
    costs: Mapping[int, list[tuple[int, float]]],
    owner: dict[int, int],
    mate: dict[int, int],
    of_row: dict[int, float],
    of_column: dict[int, float],
) -> None:
    """Give one more row a column, by the cheapest way of moving others."""
    far: dict[int, float] = {}
    came: dict[int, int] = {}
    settled: list[int] = []
    closed: set[int] = set()
    heap: list[tuple[float, int]] = []
    row, way = start, 0.0
    while True:
        for column, cost in costs[row]:
            if column not in closed:
                length = way + cost - of_row[row] - of_column[column]
                if length < far.get(column, float("inf")):
                    far[column], came[column] = length, row
                    heappush(heap, (length, column))
        way, column = heappop(heap)
        while column in closed:
            way, column = heappop(heap)
        closed.add(column)
        settled.append(column)
        if column not in owner:
            break
        row = owner[column]
    of_row[start] += way
    for one in settled[:-1]:
        of_row[owner[one]] += way - far[one]
        of_column[one] += far[one] - way
    while True:
        row = came[column]
        before = mate.get(row)
        owner[column], mate[row] = row, column
        if row == start:
            return
        assert before is not None  # noqa: S101 - all but the start had a column
        column = before
