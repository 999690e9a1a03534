"""One calibrated camera: projection, its inverse, rectification. Frames and axes: ``perception/conventions.md``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from perception.errors import InputError, PerceptionError
from perception.geometry.lens import LENSES, canonical_lens, distort, distortion_limit, undistort

__all__ = ["Camera"]


def _array(name: str, value: Any, shape: tuple[int, ...] | None) -> np.ndarray:
    array = np.asarray(value, dtype=np.float64)
    if shape is not None and array.shape != shape:
        raise PerceptionError(f"{name}: expected shape {shape}, found {array.shape}")
    if not np.isfinite(array).all():
        raise PerceptionError(f"{name}: expected finite numbers, found {array.tolist()}")
    array = array.copy()
    array.setflags(write=False)
    return array


@dataclass(frozen=True, eq=False)
class Camera:
    """A pinhole camera with an optional lens model.

    Attributes:
        name: Name of the camera in its drive.
        width: Image width in pixels.
        height: Image height in pixels.
        intrinsics: (3, 3) float64 matrix K; integer pixel coordinates are pixel centres.
        lens: ``none``, ``plumb_bob`` (k1 k2 p1 p2 k3), ``rational_polynomial`` (8 coefficients) or ``equidistant``
            (4, fisheye).
        distortion: Coefficients in OpenCV's order.
        ego_from_camera: (4, 4) float64 pose of the camera in the ego frame, or None when unknown.
        rectified: (3, 4) projection of the rectified image, or None when nobody stated one.
    """

    name: str
    width: int
    height: int
    intrinsics: np.ndarray
    lens: str = "none"
    distortion: np.ndarray = field(default_factory=lambda: np.zeros(0))
    ego_from_camera: np.ndarray | None = None
    rectified: np.ndarray | None = None

    def __post_init__(self) -> None:
        label = f"camera {self.name!r}"
        if self.width <= 0 or self.height <= 0:
            raise PerceptionError(f"{label}: expected a positive size, found {self.width}x{self.height}")
        object.__setattr__(self, "lens", canonical_lens(self.lens, label))
        object.__setattr__(self, "intrinsics", _array(f"{label}: intrinsics", self.intrinsics, (3, 3)))
        if self.intrinsics[0, 0] <= 0 or self.intrinsics[1, 1] <= 0:
            found = f"{self.intrinsics[0, 0]}, {self.intrinsics[1, 1]}"
            raise PerceptionError(f"{label}: expected positive focal lengths, found {found}")
        distortion = _array(f"{label}: distortion", np.ravel(self.distortion), None)
        if len(distortion) not in LENSES[self.lens]:
            expected = " or ".join(map(str, LENSES[self.lens]))
            raise PerceptionError(
                f"{label}: lens {self.lens}: expected {expected} coefficients, found {len(distortion)}"
            )
        object.__setattr__(self, "distortion", distortion)
        for key, shape in (("ego_from_camera", (4, 4)), ("rectified", (3, 4))):
            if getattr(self, key) is not None:
                object.__setattr__(self, key, _array(f"{label}: {key}", getattr(self, key), shape))

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.width, self.height

    def project(self, points: np.ndarray, *, anywhere: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Project points in the camera frame.

        Args:
            points: (N, 3) metres, camera frame (x right, y down, z forward).
            anywhere: Points beyond the border of the image are valid too: corners of what lies partly in it.

        Returns:
            ``uv`` (N, 2) float64 pixels, NaN behind the camera, and ``valid`` (N,) bool: in front of the camera, within
            the range where the lens polynomial is monotonic, and inside the image.
        """
        points = np.asarray(points, dtype=np.float64).reshape(-1, 3)
        front = points[:, 2] > 1e-6
        xy = np.full((len(points), 2), np.nan)
        xy[front] = points[front, :2] / points[front, 2:]
        inside_lens = np.zeros(len(points), dtype=bool)
        inside_lens[front] = np.hypot(*xy[front].T) <= distortion_limit(self.lens, self.distortion)
        uv = self._pixels(distort(xy, self.lens, self.distortion))
        with np.errstate(invalid="ignore"):
            inside = (uv > -0.5).all(1) & (uv[:, 0] < self.width - 0.5) & (uv[:, 1] < self.height - 0.5)
        return uv, front & inside_lens & (inside | anywhere)

    def project_ego(self, points: np.ndarray, *, anywhere: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Project (N, 3) points of the ego frame; returns as :meth:`project`."""
        points = np.asarray(points, dtype=np.float64).reshape(-1, 3)
        camera_from_ego = np.linalg.inv(self._extrinsics())
        return self.project(points @ camera_from_ego[:3, :3].T + camera_from_ego[:3, 3], anywhere=anywhere)

    def unproject(self, uv: np.ndarray) -> np.ndarray:
        """Rays through pixels: (N, 2) pixels -> (N, 3) directions with z = 1, camera frame."""
        uv = np.asarray(uv, dtype=np.float64).reshape(-1, 2)
        homogeneous = np.concatenate([uv, np.ones((len(uv), 1))], axis=1)
        xy = (homogeneous @ np.linalg.inv(self.intrinsics).T)[:, :2]
        return np.concatenate([undistort(xy, self.lens, self.distortion), np.ones((len(uv), 1))], axis=1)

    def ground_points(self, uv: np.ndarray, height: float = 0.0) -> np.ndarray:
        """Where the rays of pixels meet the plane z = ``height`` of the ego frame.

        Args:
            uv: (N, 2) pixels.
            height: Height of the plane above the ego origin, metres.

        Returns:
            (N, 3) float64 ego points; NaN for rays that do not go down to the plane (at or above the horizon).
        """
        pose = self._extrinsics()
        rays = self.unproject(uv) @ pose[:3, :3].T
        with np.errstate(divide="ignore", invalid="ignore"):
            distance = (height - pose[2, 3]) / rays[:, 2]
            points = pose[:3, 3] + distance[:, None] * rays
        points[~(np.isfinite(distance) & (distance > 0))] = np.nan
        return points

    def rectified_camera(self) -> Camera:
        """The undistorted camera whose images :meth:`rectify` makes: intrinsics from ``rectified`` if given, else K."""
        intrinsics = self.intrinsics if self.rectified is None else self.rectified[:, :3]
        return replace(self, intrinsics=intrinsics, lens="none", distortion=np.zeros(0), rectified=None)

    def rectify(self, image: np.ndarray) -> np.ndarray:
        """Undistort an image of this camera, (H, W[, C]) any dtype OpenCV remaps; same size and dtype out."""
        import cv2

        if image.shape[:2] != (self.height, self.width):
            found = f"{image.shape[1]}x{image.shape[0]}"
            raise PerceptionError(
                f"camera {self.name!r}: expected an image of {self.width}x{self.height}, found {found}"
            )
        if self.lens == "none":
            return image
        map_x, map_y = self._rectification_maps()
        return cv2.remap(image, map_x, map_y, cv2.INTER_LINEAR)

    def resized(self, width: int, height: int) -> Camera:
        """This camera after its images were resized to ``width`` x ``height`` (pixel centres stay pixel centres)."""
        scale = np.array([width / self.width, height / self.height])
        change = np.array([[scale[0], 0, (scale[0] - 1) / 2], [0, scale[1], (scale[1] - 1) / 2], [0, 0, 1]])
        return self._changed(change, width, height)

    def cropped(self, x0: int, y0: int, x1: int, y1: int) -> Camera:
        """This camera after its images were cropped to columns x0..x1 and rows y0..y1 (ends excluded)."""
        return self._changed(np.array([[1, 0, -x0], [0, 1, -y0], [0, 0, 1.0]]), x1 - x0, y1 - y0)

    def to_dict(self) -> dict[str, Any]:
        """As plain lists and numbers, readable by :meth:`from_dict`."""
        out: dict[str, Any] = {
            "name": self.name,
            "width": self.width,
            "height": self.height,
            "intrinsics": self.intrinsics.tolist(),
            "lens": self.lens,
            "distortion": self.distortion.tolist(),
        }
        for key in ("ego_from_camera", "rectified"):
            if getattr(self, key) is not None:
                out[key] = getattr(self, key).tolist()
        return out

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], name: str = "") -> Camera:
        """From :meth:`to_dict` or from the form of ROS ``camera_info`` yaml files.

        Raises:
            PerceptionError: A key is missing or has a wrong shape.
        """
        data = dict(data)
        if "camera_matrix" in data:
            data = _from_ros_yaml(data)
        missing = [key for key in ("width", "height", "intrinsics") if key not in data]
        if missing:
            raise PerceptionError(f"camera {name or data.get('name', '?')!r}: missing key(s) {', '.join(missing)}")
        known = ("lens", "distortion", "ego_from_camera", "rectified")
        rest = {key: data[key] for key in known if data.get(key) is not None}
        label = name or str(data.get("name", "camera"))
        return cls(label, int(data["width"]), int(data["height"]), data["intrinsics"], **rest)

    @classmethod
    def from_yaml(cls, path: str | Path, name: str = "") -> Camera:
        """Read one camera from a yaml file in either form of :meth:`from_dict`."""
        import yaml

        try:
            data = yaml.safe_load(Path(path).read_text())
            if not isinstance(data, Mapping):
                raise InputError(path, "", "a mapping with the keys of one camera", type(data).__name__)
            return cls.from_dict(data, name)
        except (OSError, yaml.YAMLError, ValueError, KeyError, TypeError) as error:
            raise InputError(path, "", "a camera calibration in yaml", str(error)) from error

    def _extrinsics(self) -> np.ndarray:
        if self.ego_from_camera is None:
            raise PerceptionError(f"camera {self.name!r}: its pose in the ego frame (ego_from_camera) is unknown")
        return self.ego_from_camera

    def _pixels(self, xy: np.ndarray) -> np.ndarray:
        return xy @ self.intrinsics[:2, :2].T + self.intrinsics[:2, 2]

    def _changed(self, change: np.ndarray, width: int, height: int) -> Camera:
        rectified = None if self.rectified is None else change @ self.rectified
        return replace(self, width=width, height=height, intrinsics=change @ self.intrinsics, rectified=rectified)

    def _rectification_maps(self) -> tuple[np.ndarray, np.ndarray]:
        cached = self.__dict__.get("_maps")
        if cached is None:
            grid = np.stack(np.meshgrid(np.arange(self.width), np.arange(self.height)), axis=-1).reshape(-1, 2)
            rays = self.rectified_camera().unproject(grid)
            uv = self._pixels(distort(rays[:, :2], self.lens, self.distortion)).astype(np.float32)
            uv = uv.reshape(self.height, self.width, 2)
            cached = np.ascontiguousarray(uv[..., 0]), np.ascontiguousarray(uv[..., 1])
            object.__setattr__(self, "_maps", cached)
        return cached


def _from_ros_yaml(data: Mapping[str, Any]) -> dict[str, Any]:
    def matrix(key: str, shape: tuple[int, int]) -> np.ndarray | None:
        return None if key not in data else np.asarray(data[key]["data"], dtype=np.float64).reshape(shape)

    distortion = np.ravel(data.get("distortion_coefficients", {}).get("data", []))
    projection = matrix("projection_matrix", (3, 4))
    return {
        "name": data.get("camera_name", "camera"),
        "width": data["image_width"],
        "height": data["image_height"],
        "intrinsics": matrix("camera_matrix", (3, 3)),
        "lens": data.get("distortion_model", "plumb_bob") if distortion.size else "none",
        "distortion": distortion,
        "rectified": projection if projection is not None and projection.any() else None,
    }
