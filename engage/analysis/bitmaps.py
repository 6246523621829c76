"""Periods as bitmaps, one bit a person: "here then and back later" is an `and` and a count of bits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

__all__ = ["Words", "bit_counts", "first_counts", "moved", "pair_counts"]

Words = NDArray[np.uint64]
Counts = NDArray[np.int64]

_BITS = 64
_BLOCK = 1 << 16  # people; smaller ones cost more in calls than they save by staying in a processor's own memory


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
        periods: How many periods there are.
        spans: First and last period of each span, counted from the start's.
        until_the_end: Take every span to the last period.
        threads: How many blocks of people are counted side by side.

    Returns:
        One row a period: who started, then who returned in each span.
    """

    def count(low: int, high: int) -> Counts:
        began = _transposed([column[low:high] for column in starts])[:periods]
        back = began
        if starts is not returns:
            back = _transposed([column[low:high] for column in returns])[:periods]
        found = np.zeros((periods, len(spans) + 1), np.int64)
        found[:, 0] = _ones(began)
        later = _Later(back, spans, until_the_end=until_the_end)
        for period in np.flatnonzero(found[:, 0]):
            later.count(found[period], int(period), began[period])
        return found

    total = np.zeros((periods, len(spans) + 1), np.int64)
    _add_up(total, count, len(returns[0]), _BLOCK, threads)
    return total


def first_counts(
    begun: NDArray[np.integer],
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
    # Those of one period are put together, from a new word on, so that all periods are turned at once and each looks
    # only at its own people.
    sizes = np.bincount(begun, minlength=periods)
    room = -(-sizes // _BITS)
    word_ends, ends = np.cumsum(room), np.cumsum(sizes)
    there = np.flatnonzero(sizes)
    along = np.argsort(begun.astype(np.uint16), kind="stable")
    columns = []
    for column in returns:
        ordered, padded = column[along], np.zeros(int(room.sum()) * _BITS, np.uint64)
        for period in there:
            at = int(word_ends[period] - room[period]) * _BITS
            padded[at : at + sizes[period]] = ordered[ends[period] - sizes[period] : ends[period]]
        columns.append(padded)

    def count(low: int, high: int) -> Counts:
        back = _transposed([column[low * _BITS : high * _BITS] for column in columns])[:periods]
        later = _Later(back, spans, until_the_end=until_the_end)
        found = np.zeros((periods, len(spans) + 1), np.int64)
        for period in there[(word_ends[there] > low) & (word_ends[there] - room[there] < high)]:
            end = int(word_ends[period]) - low
            own = slice(max(end - int(room[period]), 0), end)
            later.count(found[period], int(period), own=own)
        return found

    total = np.zeros((periods, len(spans) + 1), np.int64)
    _add_up(total, count, int(room.sum()), _BLOCK // _BITS, threads)
    total[:, 0] = sizes
    return total


def bit_counts(columns: Sequence[Words], periods: int) -> Counts:
    """Count, for each period, whose bit is set.

    Args:
        columns: Columns of words, one row a person; bit k of column j is period 64 j + k.
        periods: How many periods there are.
    """
    total = np.zeros(periods, np.int64)
    for low in range(0, len(columns[0]), _BLOCK):
        ones = _ones(_transposed([column[low : low + _BLOCK] for column in columns])[:periods])
        total[: len(ones)] += ones
    return total


def moved(columns: Sequence[Words], begun: NDArray[np.integer]) -> list[Words]:
    """Move each person's bits so that the lowest is the period that they started in; earlier ones fall off.

    Args:
        columns: Columns of words, one row a person; bit k of column j is period 64 j + k.
        begun: The period each person started in.

    Returns:
        As many columns.
    """
    nothing = np.zeros_like(columns[0])
    skipped, shift = begun // _BITS, (begun % _BITS).astype(np.uint64)
    rest = np.uint64(_BITS - 1) - shift  # and one more, since a shift by 64 is none

    def at(place: int) -> Words:
        return columns[place] if place < len(columns) else nothing

    found = []
    for place in range(len(columns)):
        word = nothing.copy()
        for ahead in range(len(columns) - place):
            low, high = at(place + ahead), at(place + ahead + 1)
            whole = (low >> shift) | (high << rest << np.uint64(1))
            np.copyto(word, whole, where=skipped == ahead)
        found.append(word)
    return found


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
        self._back, self._spans = back, spans
        self._is_single = bool(spans) and all(
            low == high == spans[0][0] + column for column, (low, high) in enumerate(spans)
        )

    def count(self, row: Counts, period: int, among: Words | None = None, *, own: slice = slice(None)) -> None:
        """Add to a period's row, from its second column on, how many returned.

        Args:
            row: Takes the counts.
            period: The period they started in.
            among: Only these people; all by default.
            own: Only the people in these words.
        """
        if self._is_single:  # spans of one period that follow one another are counted as one piece
            low, high = self._spans[0][0], self._spans[-1][1]
            rows = self._back[period + low : period + high + 1, own]
            row[1 : 1 + len(rows)] += _ones(rows if among is None else rows & among)
            return
        for column, (low, high) in enumerate(self._spans, 1):
            rows = self._back[period + low : period + high + 1, own]
            if len(rows):
                joined = np.bitwise_or.reduce(rows, axis=0, keepdims=True)
                row[column] += _ones(joined if among is None else joined & among)[0]


def _add_up(total: Counts, count: Callable[[int, int], Counts], size: int, block: int, threads: int) -> None:
    """Add what is counted of each block to a total, so many blocks side by side."""
    cuts = [(low, min(low + block, size)) for low in range(0, size, block)]
    if threads < 2 or len(cuts) < 2:
        for low, high in cuts:
            total += count(low, high)
        return
    with ThreadPoolExecutor(threads) as pool:
        for found in pool.map(lambda cut: count(*cut), cuts):
            total += found


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
