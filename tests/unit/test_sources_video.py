"""Video files as drives."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from perception.errors import InputError
from perception.sources import open_drive, source_for

COUNT = 40


def write(path: Path, codec: str = "libx264", pts: list[int] | None = None, rotate: int = 0, **options: str) -> Path:
    """A clip whose frame n is grey of value 4 n + 20, left half black; times in 1/1000 s."""
    with av.open(str(path), "w", options={"movflags": "faststart"} if path.suffix == ".mp4" else {}) as container:
        stream = container.add_stream(codec, rate=20, options=options)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        stream.codec_context.gop_size = 10
        stream.bit_rate = 4_000_000
        if rotate:
            stream.set_display_rotation(rotate)
        for number in range(COUNT):
            image = np.full((64, 96, 3), 4 * number + 20, np.uint8)
            image[:, :48] = 0
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts = pts[number] if pts else number * 50
            frame.time_base = Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def numbers(frames: list) -> list[int]:
    return [round((float(frame.images["front"][:, 60:].mean()) - 20) / 4) for frame in frames]


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp4", "libx264"), ("a.mkv", "libx264"), ("a.avi", "mpeg4"), ("a", "libx264")]
)
def test_all_frames_in_order_with_exact_times(tmp_path: Path, name: str, codec: str) -> None:  # fmt: skip
    path = write(tmp_path / (name if "." in name else "a.mp4"), codec)
    path = path.rename(tmp_path / name)
    with open_drive(path) as source:
        frames = list(source)
        assert len(source) == len(frames) == COUNT and [frame.index for frame in frames] == list(range(COUNT))
        assert np.abs(np.array(numbers(frames)) - np.arange(COUNT)).max() <= (codec == "mpeg4")
        assert [frame.timestamp_ns for frame in frames] == [n * 50_000_000 for n in range(COUNT)]
        assert all(frame.faults == () for frame in frames)
        assert source.info.cameras == {"front": (96, 64)} and source.info.frames_exact
        assert numbers(list(source)) == numbers(frames)


def test_uneven_times_are_kept(tmp_path: Path) -> None:
    pts = np.cumsum(np.random.default_rng(0).integers(7, 90, COUNT)).tolist()
    with open_drive(write(tmp_path / "a.mkv", pts=pts)) as source:
        frames = list(source)
        assert [frame.timestamp_ns for frame in frames] == [value * 1_000_000 for value in pts]
        source.seek(pts[23] * 1_000_000)
        again = list(source)
    assert [frame.index for frame in again] == list(range(23, COUNT)) and numbers(again) == list(range(23, COUNT))


def test_ranges_every_and_seek(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4")
    with open_drive(path, start=0.5, end=1.5, every=4) as source:
        frames = list(source)
        assert [frame.index for frame in frames] == numbers(frames) == [10, 14, 18, 22, 26, 30] and len(source) == 6
        source.seek(950_000_000)
        assert [frame.index for frame in source] == [22, 26, 30]
    with open_drive(path, start=100) as source:
        assert list(source) == [] and len(source) == 0


@pytest.mark.parametrize(("rotate", "bright"), [(90, "top"), (-90, "bottom"), (180, "left")])
def test_rotation_in_the_file_turns_the_image(tmp_path: Path, rotate: int, bright: str) -> None:
    with open_drive(write(tmp_path / "a.mp4", rotate=rotate)) as source:
        size = source.info.cameras["front"]
        image = list(source)[-1].images["front"]
    assert size == (image.shape[1], image.shape[0]) == ((96, 64) if rotate == 180 else (64, 96))
    halves = {"top": image[:40], "bottom": image[-40:], "left": image[:, :40]}
    assert {name: half.min() > 100 for name, half in halves.items()}[bright]


def packets(path: Path) -> list[tuple[int, int]]:
    with av.open(str(path)) as container:
        return [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]


def test_corrupt_packets_are_faults_and_the_rest_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", "mpeg4", g="1", bf="0")
    data = bytearray(path.read_bytes())
    position, size = packets(path)[12]
    data[position : position + size] = b"\0" * size
    path.write_bytes(data)
    with open_drive(path) as source:
        frames = list(source)
    assert [frame.index for frame in frames] == list(range(COUNT))
    bad = [frame for frame in frames if frame.faults]
    assert [frame.index for frame in bad] == [12]
    assert bad[0].faults[0].kind == "corrupt" and not bad[0].images
    assert bad[0].timestamp_ns == 600_000_000


@pytest.mark.parametrize(("name", "stated"), [("a.mp4", "40 frames"), ("a.mkv", "2.00 s")])
def test_files_that_end_early_say_so_on_the_last_frame(tmp_path: Path, name: str, stated: str) -> None:
    path = write(tmp_path / name)
    position, _ = packets(path)[25]
    path.write_bytes(path.read_bytes()[:position])
    with open_drive(path) as source:
        frames = list(source)
        assert any("header states" in fault.message for fault in source.faults)
    assert 15 < len(frames) <= 26 and frames[-1].faults[-1].kind == "corrupt"
    assert f"expected {stated}" in frames[-1].faults[-1].message


def test_unreadable_and_empty_videos_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"\0\0\0\x20ftypisom" + b"\0" * 50)
    with pytest.raises(InputError, match=r"a\.mp4"):
        open_drive(path)
    sound = tmp_path / "sound.mkv"
    with av.open(str(sound), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(InputError, match="video stream"):
        open_drive(sound)
    no_frame = tmp_path / "header.mkv"
    with av.open(str(no_frame), "w") as container:
        stream = container.add_stream("mpeg4", rate=10, options={})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.start_encoding()
    with pytest.raises(InputError, match=r"header\.mkv: expected a video that FFmpeg can read, found .*End of file"):
        open_drive(no_frame)
    no_frame.with_suffix(".mp4").write_bytes(b"")
    with pytest.raises(InputError, match=r"header\.mp4: expected a video that FFmpeg can read"):
        open_drive(no_frame.with_suffix(".mp4"))


def test_playlists_are_not_followed(tmp_path: Path) -> None:
    write(tmp_path / "a.mp4")
    playlist = tmp_path / "list.m3u8"
    playlist.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\na.mp4\n#EXT-X-ENDLIST\n")
    with pytest.raises(InputError):
        source_for(playlist)
