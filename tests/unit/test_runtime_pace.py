"""Reading ahead and running at the pace of the drive."""

from __future__ import annotations

import io
import threading
import time

import numpy as np
import pytest

from perception.errors import InputError, PerceptionError
from perception.runtime.prefetch import Prefetch
from perception.runtime.realtime import is_dropped, paced
from perception.runtime.runner import RunOptions, StrictStop, run_drive
from perception.sinks import read_json_lines
from perception.structures import Fault, Frame
from tests.fixtures.toy_pipeline import ToySource, graph, pipeline, stage

MS = 1_000_000


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_prefetch_keeps_items_order_and_errors(depth):
    def items():
        yield from range(5)
        raise InputError("drive", "frame 5", "a frame", "the end")

    got = []
    with pytest.raises(InputError, match="frame 5"), Prefetch(items(), depth) as read:
        for item in read:
            got.append(item)
    assert got == [0, 1, 2, 3, 4]
    with Prefetch([], depth) as read:
        assert list(read) == []


def test_prefetch_reads_at_most_depth_items_ahead_and_lets_go_at_the_end():
    taken: list[int] = []

    def items():
        for i in range(1000):
            taken.append(i)
            yield i

    with Prefetch(items(), 3) as read:
        assert next(read) == 0
        deadline = time.monotonic() + 5
        while len(taken) < 5 and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.05)
        assert len(taken) == 5  # one given, three waiting, one in the reader's hand
    assert not [thread for thread in threading.enumerate() if thread.name == "prefetch"]
    with pytest.raises(PerceptionError, match="0 or more frames, found -1"):
        Prefetch([], -1)


def test_prefetch_hides_reading_behind_work():
    reading = threading.Event()

    def items():
        yield 0
        reading.set()
        yield 1

    with Prefetch(items(), 1) as read:
        assert next(read) == 0
        assert reading.wait(5)  # the second item is read although nobody asked for it


class Clock:
    """A clock that moves when somebody sleeps or works."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


def frames(stamps_ms):
    image = np.zeros((2, 2, 3), np.uint8)
    return [Frame(1_000 * MS + stamp * MS, i, {"front": image}) for i, stamp in enumerate(stamps_ms)]


def consumed(stamps_ms, work_ms):
    clock, out = Clock(), []
    for frame in paced(frames(stamps_ms), clock, clock.sleep):
        out.append((frame.index, round((clock.now - 100) * 1e3), is_dropped(frame)))
        if not is_dropped(frame):
            clock.now += work_ms / 1e3
    return out


def test_fast_stages_get_every_frame_at_its_time():
    assert consumed([0, 100, 250, 300], 40) == [(0, 0, False), (1, 100, False), (2, 250, False), (3, 300, False)]


def test_slow_stages_get_the_newest_frame_and_the_others_say_how_late_they_were():
    # 240 ms of work a frame: at 240 ms frames 1 and 2 have arrived, at 480 ms also 3 and 4, at 720 ms also 5 and 6
    seen = consumed(range(0, 700, 100), 240)
    assert [(index, at) for index, at, dropped in seen if not dropped] == [(0, 0), (2, 240), (4, 480), (6, 720)]
    assert [index for index, _, dropped in seen if dropped] == [1, 3, 5]
    clock = Clock()
    lost = [f for f in paced(_slowly(frames([0, 100, 200]), clock, 0.35), clock, clock.sleep) if is_dropped(f)]
    assert [fault.kind for frame in lost for fault in frame.faults] == ["dropped"] * len(lost)
    assert lost and "late" in lost[0].faults[0].message


def _slowly(items, clock, seconds):
    for item in items:
        clock.now += seconds
        yield item


def test_stamps_that_stand_still_or_step_back_do_not_stop_the_pace():
    assert [index for index, _, _ in consumed([0, 100, 100, 50, 200], 10)] == [0, 1, 2, 3, 4]
    assert list(paced([])) == []


def realtime(out, strict=False, sinks=("jsonl", "video", "mcap", "csv"), sleep_s=0.25):
    stages = [stage("a", sleep_s=sleep_s)]
    options = RunOptions(realtime=True, strict=strict)
    return run_drive(
        "toy", out, pipeline(*stages, sinks=sinks), graph(*stages), options, lambda _: ToySource(12), io.StringIO()
    )


def test_a_realtime_run_records_what_it_dropped(tmp_path):
    report = realtime(tmp_path)
    rows = {(row["where"], row["kind"]): row["count"] for row in report["faults"]}
    dropped = rows["front", "dropped"]
    assert 4 <= dropped <= 10 and rows["a", "skipped"] == dropped
    assert report["frames"] == {"total": 12, "done": 12 - dropped, "skipped": dropped}
    lines = read_json_lines(tmp_path / "results.jsonl")
    assert [line["index"] for line in lines] == list(range(12))
    assert sum(not line["results"] for line in lines) == dropped
    import av

    with av.open(str(tmp_path / "overlay.mp4")) as video:
        assert sum(1 for _ in video.decode(video=0)) == 12 - dropped


def test_a_strict_realtime_run_stops_at_the_first_dropped_frame(tmp_path):
    with pytest.raises(StrictStop, match="front: dropped: a newer frame had arrived"):
        realtime(tmp_path, strict=True, sinks=("jsonl",))


@pytest.mark.parametrize("prefetch", [0, 4])
def test_results_do_not_depend_on_reading_ahead(tmp_path, prefetch):
    stages = [stage("a", raise_on=(3,))]
    options = RunOptions(prefetch=prefetch)
    source = ToySource(15, changes={7: {"faults": (Fault("front", "corrupt", "x"),)}})
    run_drive("toy", tmp_path, pipeline(*stages), graph(*stages), options, lambda _: source, io.StringIO())
    lines = read_json_lines(tmp_path / "results.jsonl")
    assert [line["index"] for line in lines] == list(range(15))
    assert [bool(line["faults"]) for line in lines] == [i in (3, 7) for i in range(15)]
