"""Small valid inputs, made anew for each run of the fuzzer: nothing recorded is needed."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from perception.geometry import Camera, make_pose
from perception.geometry.transforms import CAMERA_AXES_IN_EGO
from perception.structures import Boxes2D, DensityMap, Lanes2D

_STEP = 100_000_000
_CHANNELS = (("CAM_FRONT", "camera"), ("LIDAR_TOP", "lidar"))
CHECKED = np.random.default_rng(7).integers(0, 256, (48, 64, 3), dtype=np.uint8)


def jpeg(suffix: str = ".jpg") -> np.ndarray:
    """Bytes of a small picture file."""
    return cv2.imencode(suffix, CHECKED)[1].ravel()


def camera(name: str = "front") -> Camera:
    """A calibrated camera of 64x48 pixels."""
    pose = make_pose(CAMERA_AXES_IN_EGO, np.array([1.5, 0, 1.4]))
    return Camera(name, 64, 48, np.array([[60, 0, 32], [0, 60, 24], [0, 0, 1.0]]), "plumb_bob", np.full(5, 0.01), pose)


def video(folder: Path) -> None:
    """MPEG-4 and H.264 in common containers."""
    for name, codec in (("a.mp4", "mpeg4"), ("b.mkv", "h264"), ("c.avi", "mjpeg")):
        _write_video(folder / name, codec)


def images(folder: Path) -> None:
    """Folders of pictures with times and calibration."""
    for suffix in (".jpg", ".png", ".webp", ".tiff", ".bmp"):
        drive = folder / suffix[1:]
        drive.mkdir()
        for number in range(2):
            (drive / f"{number}{suffix}").write_bytes(jpeg(suffix).tobytes())
        (drive / "timestamps.csv").write_text(f"name,timestamp_s\n0{suffix},0.1\n1{suffix},0.2\n")
        (drive / "calibration.yaml").write_text(json.dumps({"front": camera().to_dict()}))


def clouds(folder: Path) -> None:
    """Clouds in all forms of PCD, and rows of floats with times and poses."""
    table = np.zeros(40, "<f4,<f4,<f4,u1,<u4")
    head = "VERSION 0.7\nFIELDS x y z intensity t\nSIZE 4 4 4 1 4\nTYPE F F F U U\nCOUNT 1 1 1 1 1\nWIDTH 40\n"
    head += "HEIGHT 1\nPOINTS 40\n"
    columns = b"".join(np.ascontiguousarray(table[name]).tobytes() for name in table.dtype.names or ())
    packed = b"".join(bytes([31]) + columns[at : at + 32] for at in range(0, len(columns) - 31, 32))
    packed += bytes([len(columns) % 32 - 1]) + columns[len(columns) - len(columns) % 32 :] if len(columns) % 32 else b""
    bodies = {
        "ascii": b"1 2 3 4 5\n" * 40,
        "binary": table.tobytes(),
        "binary_compressed": np.array([len(packed), len(columns)], "<u4").tobytes() + packed,
    }
    for kind, body in bodies.items():
        (folder / f"{kind}.pcd").write_bytes(f"{head}DATA {kind}\n".encode() + body)
    drive = folder / "bins"
    drive.mkdir()
    for number in range(2):
        (drive / f"{number}.bin").write_bytes(np.ones((9, 4), "<f4").tobytes())
    (drive / "timestamps.txt").write_text("0.1\n0.2\n")
    (drive / "poses.txt").write_text("1 0 0 0 0 1 0 0 0 0 1 0\n" * 2)


def nuscenes(folder: Path) -> None:
    """One scene with a camera, a LiDAR and a box."""
    root = folder / "root"
    tables: dict[str, list[dict[str, Any]]] = {
        "scene": [{"token": "s", "name": "scene-1"}],
        "sample": [{"token": f"a{n}", "scene_token": "s", "timestamp": 10**9 + n * 500_000} for n in (0, 1)],
        "sensor": [{"token": c, "channel": c, "modality": m} for c, m in _CHANNELS],
        "calibrated_sensor": [
            {"token": f"c{c}", "sensor_token": c, "translation": [1, 0, 1.5], "rotation": [1, 0, 0, 0],
             "camera_intrinsic": [[60, 0, 32], [0, 60, 24], [0, 0, 1]] if c == "CAM_FRONT" else []}
            for c in ("CAM_FRONT", "LIDAR_TOP")
        ],
        "ego_pose": [{"token": f"e{n}", "rotation": [1, 0, 0, 0], "translation": [n, 0, 0]} for n in (0, 1)],
        "sample_data": [
            {"token": f"d{c}{n}", "sample_token": f"a{n}", "ego_pose_token": f"e{n}",
             "calibrated_sensor_token": f"c{c}", "timestamp": 10**9 + n * 500_000, "is_key_frame": True,
             "width": 64, "height": 48,
             "filename": f"samples/{c}/{n}.{'jpg' if c == 'CAM_FRONT' else 'pcd.bin'}"}
            for c in ("CAM_FRONT", "LIDAR_TOP") for n in (0, 1)
        ],
        "category": [{"token": "k", "name": "car"}],
        "instance": [{"token": "i", "category_token": "k"}],
        "sample_annotation": [
            {"token": f"n{n}", "sample_token": f"a{n}", "instance_token": "i", "translation": [9, 1, 1],
             "size": [2, 4, 1.5],
             "rotation": [1, 0, 0, 0], "prev": "n0" if n else "", "next": "" if n else "n1"} for n in (0, 1)
        ],
    }  # fmt: skip
    (root / "v1.0-mini").mkdir(parents=True)
    for name, rows in tables.items():
        (root / "v1.0-mini" / f"{name}.json").write_text(json.dumps(rows))
    for row in tables["sample_data"]:
        _sensor_file(root / row["filename"])


def openlanev2(folder: Path) -> None:
    """A segment of two frames."""
    segment = folder / "val"
    (segment / "info").mkdir(parents=True)
    line = [[float(x), 1.0, 0.0] for x in range(5)]
    for time in (10**9, 2 * 10**9):
        camera = {
            "image_path": f"{folder.name}/x.jpg",
            "extrinsic": {"rotation": CAMERA_AXES_IN_EGO.tolist(), "translation": [1.6, 0, 1.4]},
            "intrinsic": {"K": [[60, 0, 32], [0, 60, 24], [0, 0, 1]], "distortion": [-0.2, 0.1, 0.05]},
        }
        frame = {
            "segment_id": "10000",
            "timestamp": time,
            "sensor": {"ring_front_center": camera},
            "pose": {"rotation": np.eye(3).tolist(), "translation": [1, 0, 0]},
            "annotation": {
                "lane_centerline": [{"id": "a", "points": line}],
                "traffic_element": [{"id": "t", "category": 1, "attribute": 2, "points": [[1, 2], [5, 8]]}],
                "topology_lclc": [[0]],
                "topology_lcte": [[1]],
            },
        }
        (segment / "info" / f"{time}.json").write_text(json.dumps(frame))


def kitti(folder: Path) -> None:
    """An object frame and an odometry sequence."""
    calib = "P0: 60 0 32 0 0 60 24 0 0 0 1 0\nP2: 60 0 32 5 0 60 24 0 0 0 1 0\nR0_rect: 1 0 0 0 1 0 0 0 1\n"
    mount = " 0 -1 0 0 0 0 -1 -0.1 1 0 0 -0.3\n"
    frame = folder / "training"
    for name, text in {
        "calib/000001.txt": f"{calib}Tr_velo_to_cam:{mount}",
        "label_2/000001.txt": "Car 0 0 0 10 12 30 40 1.5 1.6 4.0 2.0 1.7 20.0 0.3\n",
    }.items():
        (frame / name).parent.mkdir(parents=True, exist_ok=True)
        (frame / name).write_text(text)
    _sensor_file(frame / "image_2" / "000001.png")
    _sensor_file(frame / "velodyne" / "000001.bin", 4)
    sequence = folder / "00"
    for number in range(2):
        _sensor_file(sequence / "image_2" / f"{number:06d}.png")
        _sensor_file(sequence / "velodyne" / f"{number:06d}.bin", 4)
    (sequence / "calib.txt").write_text(f"{calib}Tr:{mount}")
    (sequence / "times.txt").write_text("0.0\n0.1\n")


def argoverse2(folder: Path) -> None:
    """A log with a sweep, a camera, poses and a box; nothing without ``pyarrow``."""
    import pyarrow
    from pyarrow import feather

    log = folder / "log"
    pose = {
        "qw": [1.0, 1.0],
        "qx": [0.0] * 2,
        "qy": [0.0] * 2,
        "qz": [0.0] * 2,
        "tx_m": [0.0, 1.0],
        "ty_m": [0.0] * 2,
        "tz_m": [0.0] * 2,
    }
    one = {key: values[:1] for key, values in pose.items()}
    half = np.ones(9, np.float16)
    tables = {
        "city_SE3_egovehicle.feather": {"timestamp_ns": [10**18, 10**18 + _STEP], **pose},
        "calibration/egovehicle_SE3_sensor.feather": {"sensor_name": ["front"], **one},
        "calibration/intrinsics.feather": {
            "sensor_name": ["front"], "fx_px": [60.0], "fy_px": [60.0], "cx_px": [32.0], "cy_px": [24.0],
            "k1": [0.0], "k2": [0.0], "k3": [0.0], "height_px": [48], "width_px": [64],
        },
        "annotations.feather": {
            "timestamp_ns": [10**18], "track_uuid": ["u"], "category": ["BUS"],
            "length_m": [4.0], "width_m": [2.0], "height_m": [1.5], **one,
        },
        f"sensors/lidar/{10**18}.feather": {"x": half, "y": half, "z": half, "offset_ns": np.zeros(9, np.int32)},
    }  # fmt: skip
    for name, columns in tables.items():
        (log / name).parent.mkdir(parents=True, exist_ok=True)
        feather.write_feather(
            pyarrow.table(columns), str(log / name), compression="lz4" if "lidar" in name else "uncompressed"
        )
    _sensor_file(log / "sensors/cameras/front" / f"{10**18}.jpg")


def comma2k19(folder: Path) -> None:
    """A segment with three frames."""
    poses = folder / "segment" / "global_pose"
    poses.mkdir(parents=True)
    arrays = {
        "times": 100 + 0.05 * np.arange(3),
        "positions": np.tile([-2712087.5, -4261670.0, 3881014.5], (3, 1)),
        "orientations": np.tile([1.0, 0, 0, 0], (3, 1)),
        "velocities": np.tile([20.0, 0, 0], (3, 1)),
    }
    for name, array in arrays.items():
        with (poses / f"frame_{name}").open("wb") as stream:
            np.save(stream, array)
    _write_video(folder / "segment" / "video.mp4", "mpeg4", 3)


def pickles(folder: Path) -> None:
    """An info pickle of mmdetection3d with its files."""
    root = folder / "root"
    image = {"img_path": "a.jpg", "cam2img": np.eye(3), "cam2ego": np.eye(4), "lidar2cam": np.eye(4)}
    sample = {
        "timestamp": 1.5, "ego2global": np.eye(4), "images": {"CAM_FRONT": image},
        "lidar_points": {"num_pts_feats": 5, "lidar_path": "a.bin", "lidar2ego": np.eye(4).tolist()},
        "instances": [{"bbox_3d": [1.0] * 7, "bbox_label_3d": 0, "velocity": [0.0, 0.0]}],
    }  # fmt: skip
    root.mkdir()
    (root / "infos.pkl").write_bytes(pickle.dumps({"metainfo": {"categories": {"car": 0}}, "data_list": [sample]}))
    _sensor_file(root / "a.jpg")
    _sensor_file(root / "a.bin")


def calibration(folder: Path) -> None:
    """Our form and that of ROS."""
    import yaml

    (folder / "ours.yaml").write_text(yaml.safe_dump({"cameras": {"front": camera().to_dict()}}))
    ros = {
        "camera_name": "front", "image_width": 64, "image_height": 48, "distortion_model": "plumb_bob",
        "camera_matrix": {"rows": 3, "cols": 3, "data": [60, 0, 32, 0, 60, 24, 0, 0, 1]},
        "distortion_coefficients": {"rows": 1, "cols": 5, "data": [0.1, 0, 0, 0, 0]},
        "projection_matrix": {"rows": 3, "cols": 4, "data": [60, 0, 32, 0, 0, 60, 24, 0, 0, 0, 1, 0]},
    }  # fmt: skip
    (folder / "ros.yaml").write_text(yaml.safe_dump(ros))


def mapping(folder: Path) -> None:
    """A mapping with all keys."""
    text = (
        "cameras:\n  front: {image: /a, info: /b, frame: c}\nlidars:\n  top: /points\npose: tf\nego_frame: base_link\n"
    )
    (folder / "mapping.yaml").write_text(
        f"{text}world_frame: map\nsync: {{reference: front, tolerance_ms: 50, wait_ms: 500}}\n"
    )


def npz(folder: Path) -> None:
    """Arrays, plain and compressed."""
    arrays: dict[str, Any] = {
        "a": np.arange(24.0).reshape(4, 6),
        "b": np.arange(5),
        "c": np.zeros((3, 2, 2), np.float32),
    }
    np.savez(folder / "plain.npz", **arrays)
    np.savez_compressed(folder / "packed.npz", **arrays)


def result(folder: Path) -> None:
    """Results as they stand in truth channels."""
    lanes = Lanes2D("front", (64, 48), (np.array([[1, 2], [3, 4]], np.float32),), np.ones(1, np.float32))
    boxes = Boxes2D("front", (64, 48), np.ones((2, 4)), np.ones(2), np.zeros(2, np.int64), ("car",))
    density = DensityMap("front", (64, 48), np.ones((80, 80), np.float32))
    for item in (lanes, boxes, density):
        (folder / f"{item.KIND}.json").write_text(json.dumps(item.to_dict()))


def coco(folder: Path) -> None:
    """Boxes of two images."""
    images = [{"id": k, "file_name": f"town/{k:03d}.jpg", "width": 64, "height": 48} for k in (1, 2)]
    box = {"image_id": 1, "category_id": 2, "bbox": [1.5, 2, 10, 20], "area": 200.0, "iscrowd": 0}
    annotations = [{"id": 1, **box}, {"id": "k2", **box, "image_id": 2, "iscrowd": 1}]
    categories = [{"id": 1, "name": "stop"}, {"id": 2, "name": "yield"}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "boxes.json").write_text(json.dumps(content))


def _write_video(path: Path, codec: str, count: int = 8) -> None:
    import av

    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264" if codec == "h264" else codec, rate=10)
        stream.width, stream.height = 64, 48
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for number in range(count):
            picture = np.roll(CHECKED, number, axis=1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


def _sensor_file(path: Path, columns: int = 5) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cloud = path.suffix == ".bin"
    path.write_bytes(np.ones((9, columns), "<f4").tobytes() if cloud else jpeg(path.suffix).tobytes())
