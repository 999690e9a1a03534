"""Data set layouts as drives: small trees written here, with numbers worked out by hand."""

from __future__ import annotations

import json
import math
import pickle
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from perception.errors import InputError, PerceptionError, UnknownNameError
from perception.geometry import make_pose, rotation_from_euler
from perception.geometry.geodesy import ecef_from_geodetic, enu_from_ecef
from perception.geometry.transforms import CAMERA_AXES_IN_EGO
from perception.sources import drives_in, open_drive
from perception.sources.times import name_times, split_seconds
from perception.structures import Boxes2D, Boxes3D

POINTS = np.array([[10, 1, 0.5, 7, 3], [20, -2, 1.5, 8, 4]], "<f4")


def picture(path: Path, shade: int = 100, size: tuple[int, int] = (64, 48)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((size[1], size[0], 3), shade, np.uint8))


def cloud(path: Path, columns: int = 5) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(POINTS[:, :columns].tobytes())


def quaternion(yaw: float) -> list[float]:
    return [math.cos(yaw / 2), 0, 0, math.sin(yaw / 2)]


@pytest.fixture
def nuscenes(tmp_path: Path) -> Path:
    """Two scenes of two samples 0.5 s apart with a sweep between; the car heads north and moves east at 10 m/s."""
    tables: dict[str, list[dict[str, Any]]] = {name: [] for name in ("sample", "sample_data", "ego_pose")}
    tables["scene"] = [{"token": f"sc{n}", "name": f"scene-{n}"} for n in (1, 2)]
    channels = {"CAM_FRONT": "camera", "LIDAR_TOP": "lidar", "RADAR_FRONT": "radar"}
    tables["sensor"] = [{"token": f"s{c}", "channel": c, "modality": m} for c, m in channels.items()]
    turn = [0.5, -0.5, 0.5, -0.5]  # w x y z of a camera that looks forward
    tables["calibrated_sensor"] = [
        {"token": "cCAM_FRONT", "sensor_token": "sCAM_FRONT", "translation": [1.7, 0, 1.5], "rotation": turn,
         "camera_intrinsic": [[50, 0, 32], [0, 50, 24], [0, 0, 1]]},
        {"token": "cLIDAR_TOP", "sensor_token": "sLIDAR_TOP", "translation": [1, 0, 1.8], "rotation": [1, 0, 0, 0],
         "camera_intrinsic": []},
        {"token": "cRADAR_FRONT", "sensor_token": "sRADAR_FRONT", "translation": [3, 0, 0], "rotation": [1, 0, 0, 0],
         "camera_intrinsic": []},
    ]  # fmt: skip
    for scene, start in (("sc1", 1_000_000_000), ("sc2", 2_000_000_000)):
        for sample in (0, 1):
            token, time = f"{scene}a{sample}", start + sample * 500_000
            tables["sample"].append({"token": token, "scene_token": scene, "timestamp": time})
            for channel, suffix, delay in (
                ("CAM_FRONT", "jpg", 10_000),
                ("LIDAR_TOP", "pcd.bin", 0),
                ("RADAR_FRONT", "pcd", 0),
            ):
                for key, late in ((True, 0), (False, 250_000)):
                    if not key and (channel != "LIDAR_TOP" or sample):
                        continue
                    stamp = time + delay + late
                    name = f"{'samples' if key else 'sweeps'}/{channel}/x__{channel}__{stamp}.{suffix}"
                    (picture if suffix == "jpg" else cloud)(tmp_path / name)
                    tables["ego_pose"].append(
                        {"token": f"e{channel}{stamp}", "timestamp": stamp, "rotation": quaternion(math.pi / 2),
                         "translation": [10 * (stamp - start) * 1e-6, 5, 0]}
                    )  # fmt: skip
                    tables["sample_data"].append(
                        {"token": f"d{channel}{stamp}", "sample_token": token, "ego_pose_token": f"e{channel}{stamp}",
                         "calibrated_sensor_token": f"c{channel}", "timestamp": stamp, "is_key_frame": key,
                         "width": 64, "height": 48, "filename": name}
                    )  # fmt: skip
    tables["category"] = [{"token": "car", "name": "vehicle.car"}]
    tables["instance"] = [{"token": "i0", "category_token": "car"}]
    tables["sample_annotation"] = [
        {"token": f"n{n}", "sample_token": f"sc1a{n}", "instance_token": "i0", "translation": [0 + 2.0 * n, 25, 1],
         "size": [2, 4, 1.5], "rotation": quaternion(math.pi / 2), "prev": "n0" if n else "", "next": "" if n else "n1"}
        for n in (0, 1)
    ]  # fmt: skip
    folder = tmp_path / "v1.0-mini"
    folder.mkdir()
    for name, rows in tables.items():
        (folder / f"{name}.json").write_text(json.dumps(rows))
    return tmp_path


def test_nuscenes_tables(nuscenes: Path) -> None:
    assert drives_in(nuscenes) == [f"{nuscenes}#scene-1", f"{nuscenes}#scene-2"]
    with pytest.raises(InputError, match=r"expected one drive, found 2: name one, as in .*#scene-1"):
        open_drive(nuscenes)
    with pytest.raises(UnknownNameError, match="scene-1"):
        open_drive(f"{nuscenes}#scene-3")
    with open_drive(f"{nuscenes}#scene-1") as drive:
        frames = list(drive)
        assert drive.info.pose_source == "ego_pose table" and drive.info.cameras == {"front": (64, 48)}
    assert [frame.timestamp_ns for frame in frames] == [1_000_010_000_000, 1_000_510_000_000]
    first = frames[0]
    assert not first.faults and len(first.clouds["lidar_top"]) == 2
    assert first.clouds["lidar_top"].fields["ring"].tolist() == [3, 4]
    assert np.allclose(first.ego_pose, make_pose(rotation_from_euler(0, 0, math.pi / 2), np.array([0.1, 5, 0])))
    camera = first.calibration.cameras["front"]
    assert np.allclose(camera.ego_from_camera, make_pose(CAMERA_AXES_IN_EGO, np.array([1.7, 0, 1.5])))
    boxes = first.truth["ego/boxes_3d"]
    assert isinstance(boxes, Boxes3D) and boxes.class_names == ("vehicle.car",)
    assert np.allclose(boxes.boxes[0], [20, 0.1, 1, 4, 2, 1.5, 0], atol=1e-5)
    assert np.allclose(boxes.velocities[0], [0, -4], atol=1e-4)  # 4 m/s east is to the right of a car that heads north


def test_nuscenes_sweeps_drive_the_frames_when_mapped(nuscenes: Path) -> None:
    mapping = {"lidars": {"roof": "LIDAR_TOP"}, "pose": "ego_pose table", "sync": {"reference": "roof"}}
    with open_drive(f"{nuscenes}#scene-1", mapping) as drive:
        frames = list(drive)
    assert [frame.timestamp_ns for frame in frames] == [10**12, 10**12 + 250_000_000, 10**12 + 500_000_000]
    assert ["ego/boxes_3d" in frame.truth for frame in frames] == [True, False, True]
    assert list(frames[0].calibration.sensors) == ["roof"]


def test_broken_tables_are_named(nuscenes: Path) -> None:
    (nuscenes / "v1.0-mini" / "ego_pose.json").write_text('[{"token": 3')
    with pytest.raises(InputError, match=r"ego_pose\.json: expected a nuScenes table"):
        open_drive(f"{nuscenes}#scene-1")


def test_names_in_tables_stay_inside(nuscenes: Path) -> None:
    file = nuscenes / "v1.0-mini" / "sample_data.json"
    file.write_text(file.read_text().replace("samples/CAM_FRONT", "../../etc"))
    with pytest.raises(InputError, match="a file inside the folder"):
        open_drive(f"{nuscenes}#scene-1")


KITTI_CALIB = """P0: 50 0 32 0 0 50 24 0 0 0 1 0
P2: 50 0 32 5 0 50 24 0 0 0 1 0
R0_rect: 1 0 0 0 1 0 0 0 1
Tr_velo_to_cam: 0 -1 0 0 0 0 -1 -0.1 1 0 0 -0.3
"""


def test_kitti_object(tmp_path: Path) -> None:
    for number in (3, 12):
        picture(tmp_path / "image_2" / f"{number:06d}.png")
        cloud(tmp_path / "velodyne" / f"{number:06d}.bin", 4)
        (tmp_path / "calib").mkdir(exist_ok=True)
        (tmp_path / "calib" / f"{number:06d}.txt").write_text(KITTI_CALIB)
    (tmp_path / "label_2").mkdir()
    label = (
        "Car 0 0 0 10 12 30 40 1.5 1.6 4.0 2.0 1.7 20.0 {}\nDontCare -1 -1 -10 0 0 9 9 -1 -1 -1 -1000 -1000 -1000 -10\n"
    )
    (tmp_path / "label_2" / "000003.txt").write_text(label.format(-math.pi / 2))
    with open_drive(tmp_path) as drive:
        frames = list(drive)
    assert [frame.timestamp_ns for frame in frames] == [0, 100_000_000] and frames[0].ego_pose is None
    camera = frames[0].calibration.cameras["front"]
    # camera 0 is 0.3 m before and 0.1 m below the LiDAR at 1.73 m; camera 2 is 5 / 50 = 0.1 m to the left of camera 0
    assert np.allclose(camera.ego_from_camera, make_pose(CAMERA_AXES_IN_EGO, np.array([0.3, 0.1, 1.63])))
    boxes, signs = frames[0].truth["ego/boxes_3d"], frames[0].truth["front/boxes_2d"]
    assert isinstance(boxes, Boxes3D) and isinstance(signs, Boxes2D)
    assert np.allclose(boxes.boxes, [[20.3, -2, 1.63 - 1.7 + 0.75, 4, 1.6, 1.5, 0]], atol=1e-5)
    assert signs.boxes.tolist() == [[10, 12, 30, 40]] and "ego/boxes_3d" not in frames[1].truth


def test_kitti_without_a_focal_length(tmp_path: Path) -> None:
    picture(tmp_path / "image_2" / "000000.png")
    cloud(tmp_path / "velodyne" / "000000.bin", 4)
    (tmp_path / "calib").mkdir()
    (tmp_path / "calib" / "000000.txt").write_text(KITTI_CALIB.replace("P2: 50", "P2: 0"))
    with open_drive(tmp_path) as drive:
        frame = next(iter(drive))
    assert list(frame.images) == ["front"] and not frame.calibration.cameras
    assert "calibration P2: expected a projection of focal lengths above 0" in frame.faults[0].message


def test_kitti_odometry(tmp_path: Path) -> None:
    path = tmp_path / "sequences" / "00"
    for number in range(3):
        picture(path / "image_2" / f"{number:06d}.png")
        cloud(path / "velodyne" / f"{number:06d}.bin", 4)
    (path / "calib.txt").write_text(KITTI_CALIB.replace("Tr_velo_to_cam", "Tr"))
    (path / "times.txt").write_text("0.0\n1.037875e-01\n0.2\n")
    (tmp_path / "poses").mkdir()
    (tmp_path / "poses" / "00.txt").write_text("".join(f"1 0 0 0 0 1 0 0 0 0 1 {2 * n}\n" for n in range(3)))
    with open_drive(path) as drive:
        frames = list(drive)
        assert drive.info.pose_source == "poses/00.txt" and drive.info.posed == ("front", "lidar")
    assert [frame.timestamp_ns for frame in frames] == [0, 103_787_500, 200_000_000]
    assert np.allclose(
        [frame.ego_pose[:3, 3] for frame in frames if frame.ego_pose is not None], [[0, 0, 0], [2, 0, 0], [4, 0, 0]]
    )


@pytest.mark.parametrize("kind", ["sync", "extract"])
def test_kitti_raw(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"2011_09_26_drive_0001_{kind}"
    stamps = "".join(f"2011-09-26 13:02:25.{n}00000000\n" for n in range(3))
    for number in (0, 2):  # one frame of the three is missing
        picture(path / "image_02" / "data" / f"{number:010d}.png")
        cloud(path / "velodyne_points" / "data" / f"{number:010d}.bin", 4)
    (path / "oxts" / "data").mkdir(parents=True)
    for number in range(3):
        (path / "oxts" / "data" / f"{number:010d}.txt").write_text(f"49.0 {8 + number * 1e-5} 100 0 0 0.5 1 2 3")
    for name in ("image_02", "velodyne_points", "oxts"):
        (path / name / "timestamps.txt").write_text(stamps)
    same = "R: 1 0 0 0 1 0 0 0 1\nT: 0 0 0\n"
    (tmp_path / "calib_imu_to_velo.txt").write_text("calib_time: 09-Jan-2012 14:00:15\n" + same)
    (tmp_path / "calib_velo_to_cam.txt").write_text("R: 0 -1 0 0 0 -1 1 0 0\nT: 0 0 0\n")
    (tmp_path / "calib_cam_to_cam.txt").write_text(
        "R_rect_00: 1 0 0 0 1 0 0 0 1\nS_rect_02: 64 48\nP_rect_02: 50 0 32 5 0 50 24 0 0 0 1 0\n"
        "S_02: 64 48\nK_02: 55 0 32 0 55 24 0 0 1\nD_02: -0.3 0.1 0 0 0\nR_02: 1 0 0 0 1 0 0 0 1\nT_02: 0.1 0 0\n"
    )
    with open_drive(path) as drive:
        frames = list(drive)
    camera = frames[0].calibration.cameras["front"]
    assert (camera.lens, camera.intrinsics[0, 0]) == (("none", 50) if kind == "sync" else ("plumb_bob", 55))
    assert np.allclose(camera.ego_from_camera, make_pose(CAMERA_AXES_IN_EGO, np.array([0, 0.1, 0.93])))
    assert [frame.timestamp_ns - frames[0].timestamp_ns for frame in frames] == [0, 200_000_000]
    assert frames[0].world_origin == (49.0, 8.0, 100.0)
    assert frames[1].ego_pose is not None  # 2e-5 degrees east at latitude 49
    assert np.allclose(frames[1].ego_pose[:3, 3], [math.radians(2e-5) * 4_194_350, 0, -0.93], atol=1e-3)
    assert np.allclose(frames[1].ego_pose[:2, 0], [math.cos(0.5), math.sin(0.5)])


def test_argoverse2(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow (extra `drives`) is not installed")
    from pyarrow import feather

    def table(name: str, **columns: Any) -> None:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        feather.write_feather(pyarrow.table(columns), str(file))

    level = {
        "qw": [1.0, 1.0],
        "qx": [0.0, 0.0],
        "qy": [0.0, 0.0],
        "qz": [0.0, 0.0],
        "ty_m": [0.0, 0.0],
        "tz_m": [0.0, 0.0],
    }
    table("city_SE3_egovehicle.feather", timestamp_ns=[10**18, 10**18 + 10**8], tx_m=[0.0, 1.0], **level)
    one = {key: values[:1] for key, values in level.items()}
    table("calibration/egovehicle_SE3_sensor.feather", sensor_name=["ring_front_center"], tx_m=[1.6], **one)
    lens = {"fx_px": [50.0], "fy_px": [50.0], "cx_px": [32.0], "cy_px": [24.0], "k1": [-0.2], "k2": [0.1], "k3": [0.05]}
    table("calibration/intrinsics.feather", sensor_name=["ring_front_center"], height_px=[48], width_px=[64], **lens)
    shape = {"length_m": [4.0], "width_m": [2.0], "height_m": [1.5]}
    table("annotations.feather", timestamp_ns=[10**18], track_uuid=["u"], category=["BUS"], tx_m=[30.0], **shape, **one)
    half = np.array([1.5, 2.5], np.float16)
    table(
        f"sensors/lidar/{10**18}.feather",
        x=half,
        y=half,
        z=half,
        intensity=np.array([1, 2], np.uint8),
        offset_ns=[0, 10**6],
    )
    picture(tmp_path / "sensors/cameras/ring_front_center" / f"{10**18 + 40_000_000}.jpg")
    with open_drive(tmp_path) as drive:
        frame = next(iter(drive))
    assert frame.timestamp_ns == 10**18 + 40_000_000 and frame.clouds["lidar"].points.tolist() == [[1.5] * 3, [2.5] * 3]
    assert np.allclose(frame.clouds["lidar"].fields["time"], [0, 0.001]) and np.allclose(
        frame.calibration.sensors["lidar"], np.eye(4)
    )
    assert frame.calibration.cameras["ring_front_center"].distortion.tolist() == [-0.2, 0.1, 0, 0, 0.05]
    boxes = frame.truth["ego/boxes_3d"]  # annotated 40 ms earlier, the car has driven 0.4 m since
    assert isinstance(boxes, Boxes3D) and np.allclose(boxes.boxes, [[29.6, 0, 0, 4, 2, 1.5, 0]], atol=1e-5)
    assert boxes.class_names == ("bus",)

    table("calibration/intrinsics.feather", sensor_name=["ring_front_center"], height_px=[None], width_px=[64], **lens)
    with pytest.raises(InputError, match=r"intrinsics\.feather.*columns? .*height_px"):
        open_drive(tmp_path)
    lens["k1"] = [math.nan]
    table("calibration/intrinsics.feather", sensor_name=["ring_front_center"], height_px=[48], width_px=[64], **lens)
    with pytest.raises(InputError, match=r"column k1: expected a finite value in every row"):
        open_drive(tmp_path)
    mounts = tmp_path / "calibration/egovehicle_SE3_sensor.feather"
    columns = {"sensor_name": ["ring_front_center"], "tx_m": [1.6], **one}
    feather.write_feather(pyarrow.table(columns), str(mounts), compression="uncompressed")
    ends = np.array([0, len("ring_front_center")], np.int32)
    astray = (ends * 10**6).tobytes()  # a text that ends far behind the file
    mounts.write_bytes(mounts.read_bytes().replace(ends.tobytes(), astray))
    with pytest.raises(InputError, match=r"egovehicle_SE3_sensor\.feather.*a feather table"):
        open_drive(tmp_path)


def test_comma2k19(tmp_path: Path) -> None:
    folder = tmp_path / "global_pose"
    folder.mkdir()
    count = 6
    ecef = ecef_from_geodetic(np.full(count, 37.0), -122 + 1e-5 * np.arange(count), np.zeros(count))
    enu = enu_from_ecef(ecef[0])
    east = np.linalg.inv(enu)[:3, :3] @ np.array([[1, 0, 0], [0, -1, 0], [0, 0, -1]]).T  # forward is east
    from scipy.spatial.transform import Rotation

    x, y, z, w = Rotation.from_matrix(east).as_quat()
    arrays = {
        "times": 100 + 0.05 * np.arange(count),
        "positions": ecef,
        "orientations": np.tile([w, x, y, z], (count, 1)),
    }
    arrays["velocities"] = np.tile(20 * east[:, 0], (count, 1))
    for name, array in arrays.items():
        with (folder / f"frame_{name}").open("wb") as stream:
            np.save(stream, array)
    with pytest.raises(InputError, match=r"expected a video \(video\.hevc.*found poses and logs alone"):
        open_drive(tmp_path)
    with av.open(str(tmp_path / "video.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=20)
        stream.width, stream.height = 1164, 874
        for number in range(count):
            image = np.full((874, 1164, 3), 40 * number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image)))
        container.mux(stream.encode(None))
    with open_drive(tmp_path) as drive:
        frames = list(drive)
        drive.seek(frames[2].timestamp_ns)
        again = next(iter(drive))
    assert [frame.timestamp_ns for frame in frames] == [100 * 10**9 + 50_000_000 * n for n in range(count)]
    assert [abs(int(frame.images["front"].mean()) - 40 * n) < 4 for n, frame in enumerate(frames)] == [True] * count
    assert again.index == 2 and np.array_equal(again.images["front"], frames[2].images["front"])
    assert frames[5].ego_pose is not None and np.allclose(frames[5].ego_pose[:3, :3], np.eye(3), atol=1e-4)
    assert np.allclose(frames[5].ego_pose[:3, 3], [math.radians(5e-5) * 5_101_572, 0, -1.22], atol=0.01)


def test_racecar_sorts_names_by_number(tmp_path: Path) -> None:
    # nanoseconds have no leading zeros: 1641334200.002809198 s comes before 1641334200.052809198 s
    for folder, time in (
        ("sweeps", "164133420052809198"),
        ("samples", "16413342002809198"),
        ("sweeps", "1641334200102809198"),
    ):
        cloud(tmp_path / folder / "LIDAR_FUSED" / f"MULTI-SLOW-POLI__LIDAR_FUSED__{time}.pcd.bin")
    with open_drive(tmp_path) as drive:
        frames = list(drive)
        assert type(drive).__name__ == "RacecarSource"
    assert [frame.timestamp_ns - 1641334200 * 10**9 for frame in frames] == [2_809_198, 52_809_198, 102_809_198]
    assert split_seconds("16413342002809198") == 1641334200002809198


def test_cloud_folder_with_poses(tmp_path: Path) -> None:
    for number in (2, 10, 1):
        cloud(tmp_path / f"{number}.bin", 4)
    (tmp_path / "poses.txt").write_text("".join(f"0.{n} {n} 0 0 0 0 0 1\n" for n in range(3)))
    with open_drive(tmp_path) as drive:
        frames = list(drive)
    assert [frame.provenance.record for frame in frames] == ["1.bin", "2.bin", "10.bin"]
    assert [frame.ego_pose[0, 3] for frame in frames if frame.ego_pose is not None] == [0, 1, 2]
    (tmp_path / "poses.txt").write_text("1 2 3\n")
    with pytest.raises(InputError, match="12 or 8 finite numbers in every line"):
        open_drive(tmp_path)


PCD = (
    "# .PCD v0.7\nVERSION 0.7\nFIELDS x y z intensity t\nSIZE 4 4 4 1 4\nTYPE F F F U U\nCOUNT 1 1 1 1 1\n"
    "WIDTH 2\nHEIGHT 1\nPOINTS 2\nDATA "
)
ROWS = np.array([(1, 2, 3, 9, 0), (4, 5, np.nan, 8, 500)], "<f4,<f4,<f4,u1,<u4")


@pytest.mark.parametrize("kind", ["ascii", "binary", "binary_compressed"])
def test_pcd(tmp_path: Path, kind: str) -> None:
    body = b"1 2 3 9 0\n4 5 nan 8 500\n" if kind == "ascii" else ROWS.tobytes()
    if kind == "binary_compressed":
        columns = b"".join(np.ascontiguousarray(ROWS[name]).tobytes() for name in ROWS.dtype.names or ())
        packed = b"".join(bytes([len(part) - 1]) + part for part in (columns[:32], columns[32:]))
        body = np.array([len(packed), len(columns)], "<u4").tobytes() + packed
    file = tmp_path / "a.pcd"
    file.write_bytes(PCD.encode() + kind.encode() + b"\n" + body)
    with open_drive(file) as drive:
        frame = next(iter(drive))
    assert frame.clouds["lidar"].points.tolist() == [[1, 2, 3]] and frame.clouds["lidar"].fields[
        "intensity"
    ].tolist() == [9]
    assert [fault.kind for fault in frame.faults] == ["nonfinite"]
    file.write_bytes(PCD.encode() + kind.encode() + b"\n" + body[:-6])
    with open_drive(file) as drive:
        assert [fault.kind for fault in next(iter(drive)).faults] == ["corrupt"]


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("executed",))


def test_pickles_need_trust_and_run_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "infos_val.pkl"
    file.write_bytes(pickle.dumps({"metainfo": {}, "data_list": [Evil()]}))
    with pytest.raises(PerceptionError, match="needs --trust"):
        open_drive(file)
    with pytest.raises(InputError, match=r"builtins\.print is neither a plain value nor an array"):
        open_drive(file, trust=True)
    assert "executed" not in capsys.readouterr().out


def infos(root: Path, **changes: Any) -> Path:
    """An info file of two samples whose first picture is missing."""
    picture(root / "b.jpg")
    cloud(root / "a.bin", 5)
    camera = {"img_path": "a.jpg", "cam2img": np.eye(3) * 50, "lidar2cam": np.eye(4)}
    common = {"lidar_points": {"num_pts_feats": 5, "lidar_path": "a.bin"}, "ego2global": np.eye(4), **changes}
    samples = [{"timestamp": time, "images": {"CAM_FRONT": {**camera, "img_path": name}}, **common}
               for time, name in ((0.0, "a.jpg"), (0.5, "b.jpg"))]  # fmt: skip
    file = root / "infos_val.pkl"
    file.write_bytes(pickle.dumps({"metainfo": {}, "data_list": samples}))
    return file


def test_info_files_whose_first_picture_is_missing(tmp_path: Path) -> None:
    with open_drive(infos(tmp_path), trust=True) as drive:
        frames = list(drive)
    assert [[fault.kind for fault in frame.faults] for frame in frames] == [["missing"], []]
    assert frames[1].calibration.cameras["front"].size == frames[1].images["front"].shape[1::-1]
    (tmp_path / "b.jpg").unlink()
    with open_drive(tmp_path / "infos_val.pkl", trust=True) as drive:
        frame = next(iter(drive))
    assert [fault.kind for fault in frame.faults] == ["missing", "corrupt"] and "lidar" in frame.clouds
    assert "expected a picture, found none" in frame.faults[1].message and "a.jpg" in frame.faults[1].message


def test_numbers_of_info_files_that_claim_to_be_objects(tmp_path: Path) -> None:
    file = infos(tmp_path, ego2global=np.eye(4).astype(object))
    with pytest.raises(InputError, match="objects in place of numbers"):
        open_drive(file, trust=True)


def test_missing_and_damaged_files_are_faults(tmp_path: Path) -> None:
    for number in range(3):
        cloud(tmp_path / f"{number}.bin", 4)
    with open_drive(tmp_path) as drive:
        (tmp_path / "1.bin").unlink()
        (tmp_path / "2.bin").write_bytes(b"odd")
        frames = list(drive)
    assert [[fault.kind for fault in frame.faults] for frame in frames] == [[], ["missing"], ["corrupt"]]


def test_times_in_names() -> None:
    assert name_times(["a_1700000000.5.bin", "a_1700000001.bin"]) is not None
    times = name_times(["315966265259836000.feather"])
    assert times is None  # 18 digits are no time since 1970 in a known unit
    assert name_times(["1700000000000.pcd"]) == pytest.approx([1_700_000_000_000_000_000])
    assert name_times(["1.bin", "2.bin"]) is None
