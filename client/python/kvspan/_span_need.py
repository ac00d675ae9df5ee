"""How much memory a slot's length takes, and what to ask for next: the native core's own arithmetic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ._native import Plan

#: As the native core: a slot's next extent is at most this part of what it has mapped.
_GROWTH_DIVISOR: Final = 8
_ORDERS: Final = 10


@dataclass(frozen=True)
class SpanNeed:
    plan: Plan
    page_bytes: int
    overread_tokens: int
    linear: bool

    def whole_bytes(self, tokens: int) -> int:
        """Of all lanes, for a slot of this length."""
        return self.plan.lane_count * self._lane_bytes(tokens)

    def gap_bytes(self, tokens: int, mapped_tokens: int) -> int:
        """What a slot of this length still lacks, of whose tokens so many are mapped."""
        return self.plan.lane_count * self._lane_gap(tokens, mapped_tokens)

    def extents_for(self, tokens: int, at_most_tokens: int, mapped_tokens: int) -> list[int]:
        """The extents, by order, for a slot to grow to ``tokens``; some more, as growth is geometric,
        but never past ``at_most_tokens``. All zeros: nothing is missing."""
        gap = self._lane_gap(tokens, mapped_tokens)
        room = self._lane_gap(at_most_tokens, mapped_tokens)
        ahead = 0 if self.linear else self._pages(mapped_tokens * self.plan.row_bytes) // _GROWTH_DIVISOR
        wanted = gap if gap >= ahead else _power_of_two(ahead // self.page_bytes) * self.page_bytes
        return self._fewest(min(wanted, room) // self.page_bytes)

    def _lane_bytes(self, tokens: int) -> int:
        size = self._pages((tokens + self.overread_tokens) * self.plan.row_bytes)
        return min(size, self.plan.slot_stride_bytes)

    def _lane_gap(self, tokens: int, mapped_tokens: int) -> int:
        mapped = self._pages(mapped_tokens * self.plan.row_bytes)
        return max(0, self._lane_bytes(tokens) - mapped)

    def _pages(self, size: int) -> int:
        return -(-size // self.page_bytes) * self.page_bytes

    def _fewest(self, pages: int) -> list[int]:
        """The fewest extents that make exactly so many pages, in each lane."""
        lanes = self.plan.lane_count
        counts = [0] * _ORDERS
        if self.linear:
            counts[0] = pages * lanes
            return counts
        for order in range(_ORDERS - 1, -1, -1):
            many, pages = divmod(pages, 1 << order)
            counts[order] = many * lanes
        return counts


def _power_of_two(pages: int) -> int:
    return 0 if pages < 1 else 1 << (pages.bit_length() - 1)
