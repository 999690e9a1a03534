"""Messages of several sensors -> groups that belong together, with bounded memory."""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from perception.structures import Fault

__all__ = ["CLOCK_STEP_NS", "Group", "Partner", "Synchronizer"]

CLOCK_STEP_NS = 1_000_000_000
"""A step back larger than this is a clock that was set anew; a smaller one is a late message."""


@dataclass(frozen=True)
class Partner:
    """A sensor beside the reference one.

    Attributes:
        tolerance_ns: Largest difference of stamps within one group.
        required: Record a fault when it has no message for a group, and wait for late ones.
    """

    tolerance_ns: int
    required: bool = True


@dataclass
class Group:
    """One moment: stamp and ordinal of the reference message, and the messages by sensor (the reference's included)."""

    stamp_ns: int
    ordinal: int
    items: dict[str, Any] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)


@dataclass
class _Waiting:
    group: Group
    log_ns: int


class Synchronizer:
    """Groups messages by header stamp; the reference sensor drives.

    A group is complete when every required partner and gate has been seen at or after its stamp, or when ``wait_ns`` of
    log time has passed. Among waiting groups, messages that arrive out of order are put in order (fault ``time``).
    Later ones are dropped; a step back of more than :data:`CLOCK_STEP_NS` begins a new time base.

    Args:
        reference: Name of the driving sensor.
        partners: Other sensors.
        wait_ns: Log time to wait.
        gates: Channels without messages of their own that have to arrive too, see :meth:`advance`.
        limit: Largest number of waiting groups, and of messages held for each partner.
    """

    def __init__(
        self,
        reference: str,
        partners: Mapping[str, Partner],
        wait_ns: int,
        gates: tuple[str, ...] = (),
        limit: int = 256,
    ) -> None:
        self.reference, self.partners, self.wait_ns, self.limit = reference, partners, wait_ns, limit
        self._waiting: list[_Waiting] = []
        self._held: dict[str, list[tuple[int, int, Any]]] = {name: [] for name in partners}
        self._gates: dict[str, int | None] = dict.fromkeys(gates)
        self._faults: list[Fault] = []
        self._clock = 0
        self._last: int | None = None

    def push(self, sensor: str, stamp_ns: int, log_ns: int, item: Any, ordinal: int = 0) -> Iterator[Group]:
        """Add one message; gives the groups that became complete.

        Args:
            sensor: The reference or a partner.
            stamp_ns: Header stamp.
            log_ns: Log time; ascending, apart from small disorder.
            item: The message.
            ordinal: Number of a reference message in its topic.
        """
        self._clock = max(self._clock, log_ns)
        if sensor != self.reference:
            held = self._held[sensor]
            bisect.insort(held, (stamp_ns, log_ns, item), key=lambda entry: entry[:2])
            self._forget(held)
        else:
            group = Group(stamp_ns, ordinal, {sensor: item})
            if self._stepped_back(stamp_ns):
                group.faults.append(self._time_fault(stamp_ns, "the clock was set back; frames go on from here"))
                yield from self.finish()
                self._last = None
            self._insert(group, log_ns)
        yield from self._ready()

    def advance(self, gate: str, stamp_ns: int, log_ns: int) -> Iterator[Group]:
        """Tell that a gate has been seen up to a stamp; gives the groups that became complete."""
        self._clock = max(self._clock, log_ns)
        self._gates[gate] = max(stamp_ns, self._gates[gate] or 0)
        yield from self._ready()

    def finish(self) -> Iterator[Group]:
        """Give all waiting groups; nothing more is coming for them."""
        while self._waiting:
            yield self._pop()
        for held in self._held.values():
            held.clear()
        self._gates = dict.fromkeys(self._gates)

    def remaining_faults(self) -> list[Fault]:
        """Faults of dropped messages no group came after."""
        faults, self._faults = self._faults, []
        return faults

    def _newest(self) -> int | None:
        return self._waiting[-1].group.stamp_ns if self._waiting else self._last

    def _stepped_back(self, stamp_ns: int) -> bool:
        newest = self._newest()
        return newest is not None and newest - stamp_ns > CLOCK_STEP_NS

    def _insert(self, group: Group, log_ns: int) -> None:
        stamp = group.stamp_ns
        place = bisect.bisect_left(self._waiting, stamp, key=lambda waiting: waiting.group.stamp_ns)
        doubled = place < len(self._waiting) and self._waiting[place].group.stamp_ns == stamp
        if doubled or (self._last is not None and stamp <= self._last):
            what = "a second message with this time was dropped" if doubled or stamp == self._last else "dropped"
            self._faults.append(self._time_fault(stamp, what))
            return
        if place < len(self._waiting):
            group.faults.append(self._time_fault(stamp, "arrived after a later one; put in order"))
        self._waiting.insert(place, _Waiting(group, log_ns))

    def _time_fault(self, stamp_ns: int, what: str) -> Fault:
        return Fault(self.reference, "time", f"expected a time after {self._newest()} ns, found {stamp_ns} ns: {what}")

    def _ready(self) -> Iterator[Group]:
        while self._waiting:
            head = self._waiting[0]
            patience = self._clock - head.log_ns
            complete = patience > 0 and self._complete(head.group.stamp_ns)
            if not (complete or patience > self.wait_ns or len(self._waiting) > self.limit):
                return
            yield self._pop()

    def _complete(self, stamp_ns: int) -> bool:
        for name, partner in self.partners.items():
            held = self._held[name]
            if partner.required and not (held and held[-1][0] >= stamp_ns):
                return False
        return all(seen is not None and seen >= stamp_ns for seen in self._gates.values())

    def _pop(self) -> Group:
        group = self._waiting.pop(0).group
        self._last = group.stamp_ns
        group.faults[:0] = self.remaining_faults()
        for name, partner in self.partners.items():
            held = self._held[name]
            nearest = min(held, key=lambda entry: abs(entry[0] - group.stamp_ns), default=None)
            if nearest is not None and abs(nearest[0] - group.stamp_ns) <= partner.tolerance_ns:
                group.items[name] = nearest[2]
            elif partner.required:
                gap = (
                    "no message" if nearest is None else f"the nearest {abs(nearest[0] - group.stamp_ns) / 1e6:.1f} ms"
                )
                expected = f"expected a message within {partner.tolerance_ns / 1e6:g} ms of {group.stamp_ns} ns"
                group.faults.append(Fault(name, "missing", f"{expected}, found {gap}{' away' if nearest else ''}"))
            keep = bisect.bisect_left(held, group.stamp_ns - partner.tolerance_ns, key=lambda entry: entry[0])
            del held[:keep]
        return group

    def _forget(self, held: list[tuple[int, int, Any]]) -> None:
        """Drop messages no group can need any more: too old while nothing waits, or too many."""
        if not self._waiting:
            oldest = self._clock - 2 * self.wait_ns
            while held and held[0][1] < oldest:
                del held[0]
        del held[: max(len(held) - self.limit, 0)]
