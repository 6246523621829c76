"""Periods as bitmaps, one bit a person: "here then and back later" is an `and` and a count of bits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

__all__ = ["Counts", "Words", "bit_counts", "first_counts", "pair_counts"]

Words = NDArray[np.uint64]
Counts = NDArray[np.int64]

_BITS = 64
_BLOCK = 1 << 17  # people; smaller ones cost more in calls than they save by staying in a processor's own memory


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
        found[:, 0] = _ones(began[:periods])
        later = _Later(back, spans, until_the_end=until_the_end)
        for period in np.flatnonzero(found[:, 0]).tolist():
            rows = later.rows(period)
            found[period, 1 : 1 + len(rows)] = _ones(rows & began[period])
        return found

    return _summed(count, len(returns[0]), _BLOCK, threads)


def first_counts(
    begun: NDArray[np.integer] | None,
    returns: Sequence[Words],
    periods: int,
    spans: Sequence[tuple[int, int]],
    *,
    until_the_end: bool = False,
    threads: int = 1,
) -> Counts:
    """Count as :func:`pair_counts` does, of people who started in one period each.

    Args:
        begun: The period each person started in, from 0 to before `periods`.
        returns: As for :func:`pair_counts`.
        periods: As for :func:`pair_counts`.
        spans: As for :func:`pair_counts`.
        until_the_end: As for :func:`pair_counts`.
        threads: As for :func:`pair_counts`.
    """

    def count(low: int, high: int) -> Counts:
        # Those of one period are put together, from a new word on: so a row's bits are counted once for all periods,
        # and added up from each period's first word to the next one's.
        blocks = [column[low:high] for column in returns]
        own = _lowest(blocks) if begun is None else begun[low:high].astype(np.uint16)
        sizes = np.bincount(own, minlength=periods)
        room = -(-sizes // _BITS)
        words = np.cumsum(room) - room
        along = np.argsort(own, kind="stable")
        places = np.arange(len(own)) + np.repeat(words * _BITS - (np.cumsum(sizes) - sizes), sizes)
        columns = np.zeros((len(blocks), int(room.sum()) * _BITS), np.uint64)
        for padded, block in zip(columns, blocks, strict=True):
            padded[places] = block[along]
        later = _Later(_transposed(list(columns)), spans, until_the_end=until_the_end)
        found = np.zeros((periods, len(spans) + 1), np.int64)
        found[:, 0] = sizes
        there = np.flatnonzero(sizes)
        if later.is_plain and len(there):
            counted = np.add.reduceat(np.bitwise_count(later.back), words[there], axis=1, dtype=np.int64)
            for column, period in enumerate(there.tolist()):
                reached = counted[later.reach(period), column]
                found[period, 1 : 1 + len(reached)] = reached
            return found
        for period in there.tolist():
            found[period, 1:] = _ones(later.rows(period, slice(words[period], words[period] + room[period])))
        return found

    return _summed(count, len(returns[0]), _BLOCK // 2, threads)


def bit_counts(columns: Sequence[Words], periods: int) -> Counts:
    """Count, for each period, whose bit is set.

    Args:
        columns: Columns of words, one row a person; bit k of column j is period 64 j + k.
        periods: How many periods there are.
    """

    def count(low: int, high: int) -> Counts:
        found = np.zeros(periods, np.int64)
        ones = _ones(_transposed([column[low:high] for column in columns])[:periods])
        found[: len(ones)] = ones
        return found

    return _summed(count, len(columns[0]), _BLOCK, 1)


def _lowest(columns: Sequence[Words]) -> NDArray[np.uint16]:
    """The first period whose bit is set, of each person; each has one."""
    found = _below(columns[0]).astype(np.uint16)
    for place, column in enumerate(columns[1:], 1):
        others = found == place * _BITS
        found[others] += _below(column[others])
    return found


def _below(column: Words) -> NDArray[np.uint8]:
    """How many bits are below the lowest one that is set; 64 where none is."""
    counted: NDArray[np.uint8] = np.bitwise_count(~column & (column - np.uint64(1)))
    return counted


class _Later:
    """Who returned in spans after a period.

    Args:
        back: One row a period, one bit a person.
        spans: As for :func:`pair_counts`.
        until_the_end: As for :func:`pair_counts`.
    """

    def __init__(self, back: Words, spans: Sequence[tuple[int, int]], *, until_the_end: bool) -> None:
        if until_the_end:
            back = np.bitwise_or.accumulate(back[::-1], axis=0)[::-1]
            spans = [(low, low) for low, _ in spans]
        self._spans = spans
        self.back = back
        #: Whether spans are one period each and follow one another, so that they are rows of `back` as they stand.
        self.is_plain = all(low == high == spans[0][0] + column for column, (low, high) in enumerate(spans))

    def reach(self, period: int) -> slice:
        """The rows of all spans after a period, where spans are plain; those beyond the last row left out."""
        return slice(period + self._spans[0][0], period + self._spans[-1][1] + 1) if self._spans else slice(0)

    def rows(self, period: int, own: slice = slice(None)) -> Words:
        """One row a span: who returned in it; where spans are plain, without the last ones that nobody reaches.

        Args:
            period: The period they started in.
            own: Only the people in these words.
        """
        if self.is_plain:
            return self.back[self.reach(period), own]
        spans = [self.back[period + low : period + high + 1, own] for low, high in self._spans]
        return np.stack([np.bitwise_or.reduce(rows, axis=0) for rows in spans])


def _summed(count: Callable[[int, int], Counts], size: int, block: int, threads: int) -> Counts:
    """What is counted of all blocks, so many of them side by side."""
    cuts = [(low, min(low + block, size)) for low in range(0, size, block)] or [(0, 0)]
    if threads < 2 or len(cuts) < 2:
        return np.sum([count(*cut) for cut in cuts], axis=0, dtype=np.int64)
    with ThreadPoolExecutor(threads) as pool:
        return np.sum(list(pool.map(lambda cut: count(*cut), cuts)), axis=0, dtype=np.int64)


def _ones(rows: Words) -> Counts:
    """How many bits of each row are set."""
    counted: Counts = np.bitwise_count(rows).sum(axis=1, dtype=np.int64)
    return counted


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
        return np.zeros((_BITS, 1), np.uint64)
    if padding := -len(column) % _BITS:
        column = np.concatenate([column, np.zeros(padding, np.uint64)])
    block = np.ascontiguousarray(column.reshape(-1, _BITS).T)
    half, mask = _BITS // 2, np.uint64(0xFFFFFFFF)
    while half:
        shift = np.uint64(half)
        rows = block.reshape(_BITS // (2 * half), 2, half, -1)
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
