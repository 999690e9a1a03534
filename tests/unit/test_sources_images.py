"""Folders of pictures as drives."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from PIL import Image

from perception.errors import InputError, UnknownNameError
from perception.sources import open_drive, source_for
from perception.structures import Camera


def picture(value: int, height: int = 48, width: int = 64) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in (10, 2, 1, 9):
        cv2.imwrite(str(tmp_path / f"frame{number}.png"), picture(number))
    (tmp_path / "notes.txt").write_text("not a picture")
    return tmp_path


def values(path: Path, **options) -> list[int]:
    with open_drive(path, **options) as source:
        return [int(frame.images["front"][0, 0, 0]) for frame in source]


def test_natural_order_and_default_times(folder: Path) -> None:
    with open_drive(folder) as source:
        frames = list(source)
        assert len(source) == 4 and source.info.cameras == {"front": (64, 48)} and source.info.frames_exact
    assert [frame.provenance.record for frame in frames] == [f"frame{n}.png" for n in (1, 2, 9, 10)]
    assert [frame.timestamp_ns for frame in frames] == [0, 100_000_000, 200_000_000, 300_000_000]
    assert [frame.index for frame in frames] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("name", "text", "want"),
    [
        (
            "timestamps.txt",
            "1700000000000000001\n1700000000100000000\n1700000000200000000\n1700000000300000000\n",
            10**8,
        ),
        ("timestamps.csv", "timestamp_s\n0.5\n0.75\n1.0\n1.25\n", 25 * 10**7),
        ("timestamps.txt", "\n".join(f"2011-09-26 13:02:25.{n}64389445" for n in range(4)), 10**8),
    ],
)
def test_times_in_a_file(folder: Path, name: str, text: str, want: int) -> None:
    (folder / name).write_text(text)
    with open_drive(folder) as source:
        times = [frame.timestamp_ns for frame in source]
    assert times[3] - times[2] == want
    if "1700" in text:
        assert times[0] == 1_700_000_000_000_000_001
    if "2011" in text:
        assert times[0] == 1_317_042_145_064_389_445


def test_named_times_choose_and_order_the_pictures(folder: Path) -> None:
    (folder / "timestamps.csv").write_text("name,timestamp_ns\nframe9.png,100\nframe1.png,200\nabsent.png,300\n")
    with open_drive(folder) as source:
        frames = list(source)
    assert [frame.provenance.record for frame in frames] == ["frame9.png", "frame1.png", "absent.png"]
    assert [fault.kind for fault in frames[2].faults] == ["missing"] and not frames[2].images
    (folder / "timestamps.csv").write_text("../secret.png,100\n")
    with pytest.raises(InputError, match=r"secret\.png"):
        open_drive(folder)


def test_times_that_do_not_fit(folder: Path) -> None:
    (folder / "timestamps.txt").write_text("0.1\n0.2\n")
    with pytest.raises(InputError, match=r"timestamps\.txt: expected 4 times, one for each file, found 2"):
        open_drive(folder)
    (folder / "timestamps.txt").write_text("0.1\n0.2\nsoon\n0.4\n")
    with pytest.raises(InputError, match=r"row 3.*soon"):
        open_drive(folder)


def test_times_that_go_back_drop_a_frame_or_begin_anew(folder: Path) -> None:
    (folder / "timestamps.txt").write_text("10.0\n10.1\n10.05\n10.2\n")
    with open_drive(folder) as source:
        frames = list(source)
    assert [frame.index for frame in frames] == [0, 1, 3]
    assert [[fault.kind for fault in frame.faults] for frame in frames] == [[], [], ["time"]]
    (folder / "timestamps.txt").write_text("10.0\n10.1\n2.0\n2.1\n")
    with open_drive(folder) as source:
        frames = list(source)
    assert [[fault.kind for fault in frame.faults] for frame in frames] == [[], [], ["time"], []]


def test_ranges_every_and_seek(folder: Path) -> None:
    assert values(folder, start=0.1, end=0.3) == [2, 9, 10]
    assert values(folder, every=2) == [1, 9] and values(folder, start=0.1, every=2) == [2, 10]
    with open_drive(folder, every=2) as source:
        assert len(source) == 2
        source.seek(100_000_001)
        assert [frame.index for frame in source] == [2]


def test_pictures_that_do_not_decode_are_faults(folder: Path) -> None:
    (folder / "frame2.png").write_bytes(b"nonsense")
    data = (folder / "frame9.png").read_bytes()
    (folder / "frame9.png").write_bytes(data[: len(data) // 2])
    with open_drive(folder) as source:
        frames = list(source)
    assert [[fault.kind for fault in frame.faults] for frame in frames] == [[], ["corrupt"], ["corrupt"], []]
    assert [len(frame.images) for frame in frames] == [1, 0, 0, 1] and "frame2.png" in frames[1].faults[0].message


def test_grey_deep_alpha_and_turned_pictures(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "1.png"), np.full((48, 64), 7, np.uint8))
    cv2.imwrite(str(tmp_path / "2.png"), np.full((48, 64), 7 * 256 + 200, np.uint16))
    cv2.imwrite(str(tmp_path / "3.png"), np.dstack([picture(7), np.zeros((48, 64), np.uint8)]))
    turned = Image.fromarray(np.concatenate([picture(0, 24), picture(255, 24)]))
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(tmp_path / "4.jpg", exif=exif, quality=95)
    with open_drive(tmp_path) as source:
        images = [frame.images["front"] for frame in source]
    assert all(image.shape == (48, 64, 3) and (image == 7).all() for image in images[:3])
    assert images[3].shape == (64, 48, 3)
    assert images[3][:, :20].min() > 240 and images[3][:, 28:].max() < 15


def test_calibration_beside_the_pictures(folder: Path) -> None:
    k = [[50, 0, 32], [0, 50, 24], [0, 0, 1]]
    ros = {
        "image_width": 64,
        "image_height": 48,
        "camera_name": "main",
        "camera_matrix": {"data": [*k[0], *k[1], *k[2]]},
    }
    (folder / "calibration.yaml").write_text(yaml.safe_dump(ros))
    with open_drive(folder) as source:
        frame = next(iter(source))
        assert source.info.has_calibration and list(frame.images) == ["main"]
    assert frame.calibration.cameras["main"].intrinsics[0, 0] == 50
    other = Camera("front", 32, 24, np.array(k, float))
    with open_drive(folder, calib={"front": other}) as source:
        frame = next(iter(source))
    assert [fault.kind for fault in frame.faults] == ["size"] and not frame.calibration.cameras


def test_the_mapping_names_the_camera(folder: Path) -> None:
    with open_drive(folder, mapping={"cameras": {"left": {}}}) as source:
        assert list(next(iter(source)).images) == ["left"]
    with pytest.raises(InputError, match="one camera"):
        open_drive(folder, mapping={"cameras": {"left": {}, "right": {}}})
    camera = Camera("lft", 64, 48, np.array([[50.0, 0, 32], [0, 50, 24], [0, 0, 1]]))
    with pytest.raises(UnknownNameError, match="'left'"):
        open_drive(folder, mapping={"cameras": {"left": {}}}, calib={"lft": camera})


def test_a_single_picture_is_a_drive(folder: Path) -> None:
    assert source_for(folder / "frame9.png").__name__ == "ImageFolderSource"
    assert values(folder / "frame9.png") == [9]
