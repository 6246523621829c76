"""Periods as bitmaps, one bit a person: "here then and back later" is an `and` and a count of bits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from engage.lake.derived.user_days import WORD

__all__ = ["Counts", "Words", "pair_counts", "plain_from"]

Words = NDArray[np.uint64]
Counts = NDArray[np.int64]

_BLOCK = 1023 * WORD  # people, the most whose bits are counted in 16 bits, which is twice as fast as in 32
_AT_ONCE = 4  # periods; in larger pieces threads seldom wait for each other, and in still larger ones for memory


def pair_counts(
    starts: Sequence[Words],
    returns: Sequence[Words],
    periods: int,
    spans: Sequence[tuple[int, int]],
    *,
    until_the_end: bool = False,
    threads: int = 1,
) -> Counts:
    """Count, for each period, who started in it and returned in spans after it.

    Args:
        starts: Columns of words, one row a person; bit k of column j is period 64 j + k.
        returns: The same of the same people.
        periods: How many periods of `starts` are counted.
        spans: First and last period of each span, counted from the start's.
        until_the_end: Take every span to the last period.
        threads: How many blocks of people are counted side by side.

    Returns:
        One row a period: who started, then who returned in each span.
    """

    def count(low: int, high: int) -> Counts:
        began = _transposed([column[low:high] for column in starts])
        back = began if starts is returns else _transposed([column[low:high] for column in returns])
        found = np.zeros((periods, len(spans) + 1), np.int64)
        found[:, 0] = np.bitwise_count(began[:periods]).sum(axis=1)
        later = _later(back, periods, spans, until_the_end=until_the_end)
        shape = (_AT_ONCE, len(spans), back.shape[1])
        both, ones = np.empty(shape, np.uint64), np.empty(shape, np.uint8)  # to be made once, for it takes time
        for first in range(0, periods, _AT_ONCE):
            size = min(_AT_ONCE, periods - first)
            np.bitwise_and(later(first, size), began[first : first + size, None], out=both[:size])
            np.bitwise_count(both[:size], out=ones[:size])
            found[first : first + size, 1:] = np.add.reduce(ones[:size], axis=2, dtype=np.uint16)
        return found

    cuts = [(low, min(low + _BLOCK, len(returns[0]))) for low in range(0, len(returns[0]), _BLOCK)] or [(0, 0)]
    if threads < 2 or len(cuts) < 2:
        return np.sum([count(*cut) for cut in cuts], axis=0, dtype=np.int64)
    with ThreadPoolExecutor(threads) as pool:
        return np.sum(list(pool.map(lambda cut: count(*cut), cuts)), axis=0, dtype=np.int64)


def _later(
    back: Words, periods: int, spans: Sequence[tuple[int, int]], *, until_the_end: bool
) -> Callable[[int, int], Words]:
    """Make a function that tells who returned in spans after each of some periods, one row a span.

    Args:
        back: One row a period, one bit a person.
        periods: As for :func:`pair_counts`.
        spans: As for :func:`pair_counts`.
        until_the_end: As for :func:`pair_counts`.
    """
    if until_the_end:
        back = np.bitwise_or.accumulate(back[::-1], axis=0)[::-1]
        spans = [(low, low) for low, _ in spans]
    if (first := plain_from(spans)) is not None:
        missing = periods + spans[-1][1] - len(back)
        if missing > 0:  # beyond the last period nobody is back
            back = np.concatenate([back, np.zeros((missing, back.shape[1]), np.uint64)])
        rows = np.lib.stride_tricks.sliding_window_view(back[first:], len(spans), axis=0).transpose(0, 2, 1)
        return lambda first, size: rows[first : first + size]

    def of_spans(first: int, size: int) -> Words:
        found = np.empty((size, len(spans), back.shape[1]), np.uint64)
        for period in range(size):
            for span, (low, high) in enumerate(spans):
                rows = back[first + period + low : first + period + high + 1]
                np.bitwise_or.reduce(rows, axis=0, out=found[period, span])
        return found

    return of_spans


def plain_from(spans: Sequence[tuple[int, int]]) -> int | None:
    """The first period of spans that are one period each and follow one another; None where they are not, or none."""
    is_plain = all(low == high == spans[0][0] + place for place, (low, high) in enumerate(spans))
    return spans[0][0] if spans and is_plain else None


def _transposed(columns: Sequence[Words]) -> Words:
    """Turn rows of people into rows of periods.

    Args:
        columns: Columns of words, one row a person; bit k of column j is period 64 j + k.

    Returns:
        One row a period, 64 people a word; the last word is filled up with zeros.

    Source:
        Hacker's Delight, 2nd edition, section 7-3: transposing a 64 by 64 matrix of bits by swapping ever smaller
        blocks; here all blocks of 64 people at once.
    """
    return np.concatenate([_swapped(column) for column in columns]) if len(columns) > 1 else _swapped(columns[0])


def _swapped(column: Words) -> Words:
    if not len(column):
        return np.zeros((WORD, 1), np.uint64)
    if padding := -len(column) % WORD:
        column = np.concatenate([column, np.zeros(padding, np.uint64)])
    block = np.ascontiguousarray(column.reshape(-1, WORD).T)
    half, mask = WORD // 2, np.uint64(0xFFFFFFFF)
    while half:
        shift = np.uint64(half)
        rows = block.reshape(WORD // (2 * half), 2, half, -1)
        low, high = rows[:, 0], rows[:, 1]
        swapped = low >> shift
        swapped ^= high
        swapped &= mask
        high ^= swapped
        swapped <<= shift
        low ^= swapped
        half //= 2
        mask = mask ^ (mask << np.uint64(half)) if half else mask
    return block
