"""The transform tree over the last seconds: static edges, and edges that move, looked up by integer nanoseconds.

It holds what the node needs of ROS' tf2 and nothing of ROS, so that it can be tested without and so that a machine
without tf2's Python bindings runs the same code. Frames form a tree: every child has one parent, the last one told.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_left, insort
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from tinybev.geometry import Array, interpolate_transform, invert

NANOSECONDS = 1_000_000_000


class TransformUnknownError(LookupError):
    """The two frames are not connected, or not yet or no longer known at that stamp; the message says which."""


# A sample that is much older than its edge's newest is a straggler, or the first one after the clock jumped back (a
# looping recording, a simulation that was reset): nothing tells which. So it begins its own edge anew and no other; a
# straggler of some detector must not cost the vehicle's pose. After a jump each edge begins anew with its own next
# sample; until then it is of before, and a lookup over it and an edge that has begun anew is refused. An edge that is
# looked up alone answers of before until then: in a recording that loops, the stamp had the same transform.


@dataclass
class _Edge:
    """``parent_T_child`` over time; ``samples`` stay sorted by stamp. A static edge has one sample and no time.

    Attributes:
        heard: the number of its last sample; samples are counted over all edges, from 1.
        begun: the number of the sample with which it was begun anew; 0: never.
        before: the number of the last sample of before that.
    """

    parent: str
    static: bool
    heard: int = 0
    begun: int = 0
    before: int = 0
    stamps_ns: list[int] = field(default_factory=list)
    samples: dict[int, Array] = field(default_factory=dict)

    def add(self, stamp_ns: int, parent_T_child: Array, history_ns: int, max_samples: int) -> None:
        if stamp_ns not in self.samples:
            insort(self.stamps_ns, stamp_ns)
        self.samples[stamp_ns] = parent_T_child
        excess = max(bisect_left(self.stamps_ns, self.stamps_ns[-1] - history_ns), len(self.stamps_ns) - max_samples)
        for old in self.stamps_ns[:excess]:
            del self.samples[old]
        del self.stamps_ns[:excess]

    def at(self, stamp_ns: int | None, past_ns: int, moves: bool, child: str) -> Array:
        """The transform at ``stamp_ns``, None for the newest; up to ``past_ns`` after that at constant velocity where
        it ``moves``, else held."""
        if self.static or stamp_ns is None:
            return self.samples[self.stamps_ns[-1]]
        if stamp_ns in self.samples:
            return self.samples[stamp_ns]
        after = bisect_left(self.stamps_ns, stamp_ns)
        oldest, newest = self.stamps_ns[0], self.stamps_ns[-1]
        if after == 0 or stamp_ns > newest + past_ns:
            raise TransformUnknownError(
                f"{self.parent} -> {child} is known from {oldest} to {newest} ns, and was asked for at {stamp_ns} ns"
            )
        if after == len(self.stamps_ns):  # past the newest sample
            after -= 1
            if after == 0 or not moves:  # one sample has no velocity
                return self.samples[newest]
        before_ns, after_ns = self.stamps_ns[after - 1], self.stamps_ns[after]
        fraction = (stamp_ns - before_ns) / (after_ns - before_ns)
        return interpolate_transform(self.samples[before_ns], self.samples[after_ns], fraction)


class TransformBuffer:
    """Thread-safe store of a transform tree with bounded memory.

    Args:
        history_s: how much of a moving edge is kept, seconds before its newest sample.
        max_samples: how many samples of a moving edge are kept at most.
        jump_back_s: a sample this much older than the newest of its edge begins that edge anew.
    """

    def __init__(self, history_s: float = 10.0, max_samples: int = 5000, jump_back_s: float = 1.0) -> None:
        self._history_ns = int(history_s * NANOSECONDS)
        self._max_samples = max_samples
        self._jump_back_ns = int(jump_back_s * NANOSECONDS)
        self._edges: dict[str, _Edge] = {}
        self._heard = 0  # samples of moving edges up to now
        self._changed = threading.Condition()

    def set_static(self, parent: str, child: str, parent_T_child: Array) -> None:
        """Sets an edge that holds at every stamp."""
        with self._changed:
            matrix = np.asarray(parent_T_child, dtype=np.float64)
            self._edges[child] = _Edge(parent, True, stamps_ns=[0], samples={0: matrix})
            self._changed.notify_all()

    def set_dynamic(self, parent: str, child: str, stamp_ns: int, parent_T_child: Array) -> None:
        """Adds a sample of a moving edge; a second one of the same stamp replaces the first."""
        with self._changed:
            self._heard += 1
            edge = self._edges.get(child)
            if edge is None or edge.static or edge.parent != parent:
                edge = self._edges[child] = _Edge(parent, False)
            elif stamp_ns < edge.stamps_ns[-1] - self._jump_back_ns:
                edge = self._edges[child] = _Edge(parent, False, begun=self._heard, before=edge.heard)
            edge.heard = self._heard
            edge.add(stamp_ns, np.asarray(parent_T_child, dtype=np.float64), self._history_ns, self._max_samples)
            self._changed.notify_all()

    def connected(self, target: str, source: str) -> bool:
        """Whether the two frames are in one tree, at whatever stamp."""
        try:
            self.lookup(target, source)
        except TransformUnknownError:
            return False
        return True

    def lookup(
        self,
        target: str,
        source: str,
        stamp_ns: int | None = None,
        extrapolate_s: float = 0.0,
        hold_s: float = 0.0,
    ) -> Array:
        """``target_T_source`` (4, 4) at ``stamp_ns``: interpolated between samples, exact on one.

        Past the newest samples the edges differ as in REP 105: that of a vehicle (``odom -> base_link``) moves evenly,
        those above it (``map -> odom``) are corrections, which step, and have no velocity.

        Args:
            stamp_ns: when; None takes the newest sample of every edge, for what does not move.
            extrapolate_s: how far past its newest sample the vehicle's edge, which is the one nearest to ``source``
                that is not static, may be continued at constant velocity.
            hold_s: how long the others may hold their newest sample.

        Raises:
            TransformUnknownError: the frames are not connected, or not known at that stamp.
        """
        with self._changed:
            up_from_source = self._ancestors(source)
            up_from_target = self._ancestors(target)
            common = next((frame for frame in up_from_source if frame in up_from_target), None)
            if common is None:
                raise TransformUnknownError(f"{target} and {source} are not connected")
            to_source = up_from_source[: up_from_source.index(common)]
            to_target = up_from_target[: up_from_target.index(common)]
            moving = [child for child in (*to_source, *reversed(to_target)) if not self._edges[child].static]
            if stamp_ns is not None:
                self._refuse_what_is_of_before(moving)

            def edge_at(child: str) -> Array:
                moves = child in moving[:1]
                past_s = extrapolate_s if moves else hold_s
                return self._edges[child].at(stamp_ns, int(past_s * NANOSECONDS), moves, child)

            common_T_source = _product(map(edge_at, to_source))
            common_T_target = _product(map(edge_at, to_target))
        return invert(common_T_target) @ common_T_source

    def wait_for(
        self,
        target: str,
        source: str,
        stamp_ns: int | None,
        timeout_s: float,
        extrapolate_s: float = 0.0,
        hold_s: float = 0.0,
    ) -> Array:
        """Like :meth:`lookup`, waiting up to ``timeout_s`` before extrapolating; what may be held is not waited for.

        Raises:
            TransformUnknownError: as :meth:`lookup`, once the time is up.
        """
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while True:
                try:
                    return self.lookup(target, source, stamp_ns, hold_s=hold_s)
                except TransformUnknownError:
                    remaining = deadline - time.monotonic()
                    if remaining <= 0:
                        return self.lookup(target, source, stamp_ns, extrapolate_s, hold_s)
                self._changed.wait(remaining)

    def _ancestors(self, frame: str) -> list[str]:
        """The frame, its parent, and so on up to the root; a loop ends where it closes."""
        chain = [frame]
        while (edge := self._edges.get(chain[-1])) is not None and edge.parent not in chain:
            chain.append(edge.parent)
        return chain

    def _refuse_what_is_of_before(self, children: list[str]) -> None:
        """Raises where an edge has not come since another was begun anew, except where both began with one jump."""
        edges = {child: self._edges[child] for child in children}
        for child, edge in edges.items():
            if any(edge.heard < other.begun and edge.begun <= other.before for other in edges.values()):
                raise TransformUnknownError(f"{edge.parent} -> {child} has not come since the stamps jumped back")


def _product(edges: Iterable[Array]) -> Array:
    """The transform to the last edge's parent from the first one's child."""
    transform = np.eye(4)
    for parent_T_child in edges:
        transform = parent_T_child @ transform
    return transform
