"""Periods as bitmaps, one bit a person: "here then and back later" is an `and` and a count of bits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["Words", "pair_counts", "transposed"]

Words = NDArray[np.uint64]

_BITS = 64


def transposed(words: Sequence[Words]) -> Words:
    """Turn rows of people into rows of periods.

    Args:
        words: Columns of words, one row a person; bit k of column j is period 64 j + k.

    Returns:
        One row a period, 64 people a word; the last word is filled up with zeros.

    Source:
        Hacker's Delight, 2nd edition, section 7-3: transposing a 64 by 64 matrix of bits by swapping ever smaller
        blocks; here all blocks of 64 people at once.
    """
    return np.concatenate([_transposed(column) for column in words])


def _transposed(column: Words) -> Words:
    if not len(column):
        return np.zeros((_BITS, 1), np.uint64)
    padding = np.zeros(-len(column) % _BITS, np.uint64)
    block = np.ascontiguousarray(np.concatenate([column, padding]).reshape(-1, _BITS).T)
    half, mask = _BITS // 2, np.uint64(0xFFFFFFFF)
    while half:
        shift = np.uint64(half)
        rows = block.reshape(_BITS // (2 * half), 2, half, -1)
        low, high = rows[:, 0], rows[:, 1]
        swapped = ((low >> shift) ^ high) & mask
        high ^= swapped
        low ^= swapped << shift
        half //= 2
        mask = mask ^ (mask << np.uint64(half)) if half else mask
    return block


def pair_counts(
    starts: Words, returns: Words, periods: int, spans: Sequence[tuple[int, int]], *, until_the_end: bool = False
) -> NDArray[np.int64]:
    """Count, for each period, who started in it and returned in spans after it.

    Args:
        starts: Bitmaps of :func:`transposed`.
        returns: Bitmaps of the same people.
        periods: How many periods there are.
        spans: First and last period of each span, counted from the start's.
        until_the_end: Take every span to the last period.

    Returns:
        One row a period: who started, then who returned in each span.
    """
    found = np.zeros((periods, len(spans) + 1), np.int64)
    found[:, 0] = np.bitwise_count(starts[:periods]).sum(axis=1)
    if until_the_end:
        returns = np.bitwise_or.accumulate(returns[:periods][::-1], axis=0)[::-1]
        spans = [(low, low) for low, _ in spans]
    single = all(low == high for low, high in spans)
    for period in np.flatnonzero(found[:, 0]):
        for low, high, columns in _pieces(spans, single):
            rows = returns[period + low : min(period + high + 1, periods)]
            if not len(rows):
                continue
            if not single:
                rows = np.bitwise_or.reduce(rows, axis=0, keepdims=True)
            counted = np.bitwise_count(rows & starts[period]).sum(axis=1)
            found[period, columns : columns + len(counted)] = counted
    return found


def _pieces(spans: Sequence[tuple[int, int]], single: bool) -> list[tuple[int, int, int]]:
    """Spans with their columns; those of one period each, which follow one another, as one piece."""
    if single and spans:
        return [(spans[0][0], spans[-1][1], 1)]
    return [(low, high, column) for column, (low, high) in enumerate(spans, 1)]
