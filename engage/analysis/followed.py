"""People who start once, followed from their own start: their words are shifted to begin with it, and bits tallied."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from engage.analysis.bitmaps import Counts, Words, plain_from
from engage.lake.derived.user_days import WORD

__all__ = ["bit_counts", "first_counts", "followed_counts"]

_BLOCK = 1 << 15  # people, at least; what is made on the way stays small
_OCTETS = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little").astype(np.float64)


def first_counts(
    begun: NDArray[np.integer] | None,
    returns: Sequence[Words],
    periods: int,
    spans: Sequence[tuple[int, int]],
    *,
    until_the_end: bool = False,
) -> Counts:
    """Count as :func:`engage.analysis.bitmaps.pair_counts` does, of people who started in one period each.

    Args:
        begun: The period each person started in, from 0 to before `periods`; None where it is that of their lowest
            bit, which everyone has.
        returns: Columns of words, one row a person; bit k of column j is period 64 j + k.
        periods: How many periods people may have started in.
        spans: First and last period of each span, counted from the start's.
        until_the_end: Take every span to the last period.

    Returns:
        One row a period: who started, then who returned in each span.
    """
    found = np.zeros((periods, len(spans) + 1), np.int64)
    block = max(_BLOCK, periods << 8)  # no fewer than there are tallies
    for people, words in _blocks(returns, block):
        start = _lowest(words) if begun is None else begun[people].astype(np.uint16)
        found[:, 0] += np.bincount(start, minlength=periods)
        if spans:
            own = _from_start(words, start, spans, until_the_end=until_the_end)
            found[:, 1:] += _tallied(start, periods, own, len(spans))
    return found


def followed_counts(begun: NDArray[np.integer], returns: Sequence[Words], periods: int) -> Counts:
    """Count, of people who started in one period each, who returned in each of the periods after their own.

    Args:
        begun: The period each person started in.
        returns: Columns of words, one row a person; bit k of column j is period 64 j + k.
        periods: How many periods people are followed for.

    Returns:
        How many people there are, then how many returned in the first period after their own start, the second, ….
    """
    found = np.zeros(periods + 1, np.int64)
    found[0] = len(begun)
    for people, words in _blocks(returns):
        own = _shifted(words, begun[people].astype(np.uint16) + np.uint16(1), -(-periods // WORD))
        found[1:] += _tallied(None, 1, own, periods)[0]
    return found


def bit_counts(columns: Sequence[Words], periods: int) -> Counts:
    """Count, for each period, whose bit is set.

    Args:
        columns: Columns of words, one row a person; bit k of column j is period 64 j + k.
        periods: How many periods there are.
    """
    found = np.zeros(periods, np.int64)
    for _, words in _blocks(columns):
        found += _tallied(None, 1, words, periods)[0]
    return found


def _blocks(columns: Sequence[Words], size: int = _BLOCK) -> Iterator[tuple[slice, list[Words]]]:
    """Some people after others: which they are, and their words."""
    for low in range(0, len(columns[0]), size):
        people = slice(low, low + size)
        yield people, [column[people] for column in columns]


def _lowest(columns: Sequence[Words]) -> NDArray[np.uint16]:
    """The first period whose bit is set, of each person; each has one."""
    found = _below(columns[0]).astype(np.uint16)
    for place, column in enumerate(columns[1:], 1):
        others = found == place * WORD
        found[others] += _below(column[others])
    return found


def _below(column: Words) -> NDArray[np.uint8]:
    """How many bits are below the lowest one that is set; 64 where none is."""
    below = column - np.uint64(1)
    below &= ~column
    counted: NDArray[np.uint8] = np.bitwise_count(below)
    return counted


def _from_start(
    words: list[Words], start: NDArray[np.uint16], spans: Sequence[tuple[int, int]], *, until_the_end: bool
) -> list[Words]:
    """Words whose bits are spans after each person's own start."""
    if until_the_end:
        words = _ever_after(words)
        spans = [(low, low) for low, _ in spans]
    if (first := plain_from(spans)) is not None:
        return _shifted(words, start + np.uint16(first), -(-len(spans) // WORD))
    own = _shifted(words, start, min(max(high for _, high in spans) // WORD + 1, len(words)))
    told = [np.zeros(len(start), np.uint64) for _ in range(-(-len(spans) // WORD))]
    for place, (low, high) in enumerate(spans):
        came = np.zeros(len(start), bool)
        for index, word in enumerate(own):
            lowest, highest = max(low - index * WORD, 0), min(high - index * WORD, WORD - 1)
            if lowest <= highest:
                came |= (word & np.uint64((1 << (highest + 1)) - (1 << lowest))) != 0
        told[place // WORD] |= came.astype(np.uint64) << np.uint64(place % WORD)
    return told


def _shifted(words: Sequence[Words], start: NDArray[np.uint16], count: int) -> list[Words]:
    """The words that begin with each person's own start, so many of them."""
    begin, last = start.astype(np.uint64), int(start.max(initial=0))
    found = [word >> begin for word in words[:count]]
    found += [np.zeros(len(start), np.uint64) for _ in range(count - len(found))]
    for ahead in range(1, min(last // WORD + 2, len(words))):
        # Below zero a difference turns into a shift by far more than 63, which leaves nothing, as it shall.
        right, left = begin - np.uint64(WORD * ahead), np.uint64(WORD * ahead) - begin
        for own, word in zip(found, words[ahead:], strict=False):
            own |= word >> right
            own |= word << left
    return found


def _ever_after(words: list[Words]) -> list[Words]:
    """Set every bit below one that is set."""
    found: list[Words] = []
    for word in reversed(words):
        filled = word
        for step in (1, 2, 4, 8, 16, 32):
            filled = filled | filled >> np.uint64(step)
        if found:
            filled = np.where(found[-1] & np.uint64(1), ~np.uint64(0), filled)
        found.append(filled)
    return found[::-1]


def _tallied(group: NDArray[np.uint16] | None, groups: int, words: Sequence[Words], bits: int) -> Counts:
    """Count whose bits are set, in each group: eight bits at once, by how often each of their 256 values occurs."""
    key = keys = None
    if group is not None:
        key = group.astype(np.intp)
        key <<= 8
        keys = np.empty_like(key)  # to be made once, for it takes time
    found = np.zeros((groups, -(-bits // 8) * 8))
    for octet in range(-(-bits // 8)):
        word, place = divmod(octet, 8)
        values = words[word].view(np.uint8)[place::8]
        told = values if key is None else np.add(key, values, out=keys)
        often = np.bincount(told, minlength=groups << 8).reshape(groups, 256)
        found[:, octet * 8 : octet * 8 + 8] = often.astype(np.float64) @ _OCTETS
    return found[:, :bits].astype(np.int64)
