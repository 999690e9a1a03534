"""A recorded drive at the pace at which it was recorded: what arrives while the stages are busy is dropped."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from perception.structures import Fault, Frame

__all__ = ["drop", "is_dropped", "paced"]


def paced(
    frames: Iterable[Frame],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Frame]:
    """Deliver each frame at its time, and the newest one when the consumer comes late.

    The first frame arrives at once, each other one as long after it as its time stamp says. A consumer that asks for a
    frame when a newer one has arrived gets the newest; those in between come out of the iterator all the same, without
    sensor data and with a fault that says how late they were (:func:`drop`), so that the run stays complete.

    Args:
        frames: Frames of a drive.
        clock: Seconds, for tests.
        sleep: Waits for seconds, for tests.
    """
    source = iter(frames)
    frame = next(source, None)
    if frame is None:
        return
    began, first_ns = clock(), frame.timestamp_ns
    while frame is not None:
        due = began + (frame.timestamp_ns - first_ns) * 1e-9
        following = next(source, None)
        if clock() < due:
            sleep(due - clock())
        late = clock() - due
        if following is not None and late >= max(following.timestamp_ns - frame.timestamp_ns, 0) * 1e-9:
            yield drop(frame, late)
        else:
            yield frame
        frame = following


def drop(frame: Frame, late_s: float) -> Frame:
    """A frame without its images and clouds, and a fault of kind ``dropped`` for each of them."""
    message = f"a newer frame had arrived, this one was {late_s * 1e3:.0f} ms late"
    faults = tuple(Fault(name, "dropped", message) for name in (*frame.images, *frame.clouds))
    return replace(frame, images={}, clouds={}, faults=(*frame.faults, *faults))


def is_dropped(frame: Frame) -> bool:
    """True if the frame came from :func:`drop`."""
    return not frame.images and not frame.clouds and any(fault.kind == "dropped" for fault in frame.faults)
