"""What a plugin supplies to run on a drive: a ``Stage`` turns one frame into one result.

A stage is registered in ``perception.registry.STAGES`` and built from a pipeline config. It knows neither the drive nor
the other stages: it gets a ``Frame`` whose images and cameras are keyed by the slots it declared, and the results of
the stages it named as inputs. Exceptions are not its concern either; the executor records them and goes on.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from perception.structures import Frame, Result


@dataclass(frozen=True)
class StageNeeds:
    """What a stage asks of a frame; a frame that lacks it is recorded as a fault instead of being run.

    Attributes:
        slots: Camera slots of the model that must be filled, such as ``("front",)``; empty for a stage without images.
        lidar: At least one point cloud must be in the frame.
        rectified: Images are undistorted before the stage sees them, and the cameras it sees are the rectified ones.
        calibration: Every slot needs a calibrated camera whose image size equals that of the image.
        pose: The frame needs an ego pose.
        history_s: Seconds of past the stage needs before its results are right. A resumed run starts that much earlier.
        optional_slots: Camera slots that are used when the drive has such a camera and left out otherwise.
    """

    slots: tuple[str, ...] = ("front",)
    lidar: bool = False
    rectified: bool = False
    calibration: bool = False
    pose: bool = False
    history_s: float = 0.0
    optional_slots: tuple[str, ...] = ()


class Stage(ABC):
    """One model (or one computation) of a pipeline.

    Attributes:
        needs: What the stage asks of a frame; set it on the class, or in the constructor where it depends on a config.
        kind: ``Result.KIND`` of what the stage returns, for example ``"lanes_2d"``.
    """

    needs: StageNeeds = StageNeeds()
    kind: str

    @abstractmethod
    def __call__(self, frame: Frame, inputs: Mapping[str, Result]) -> Result:
        """Compute the result of one frame.

        Args:
            frame: Images, uint8 RGB (H, W, 3), and ``calibration.cameras`` are keyed by camera slot; truth is left out.
            inputs: Results of the input stages by stage name; those in pixels have a slot as ``frame_id``.

        Returns:
            A result of kind ``self.kind``; ``frame_id`` is a slot for image results and ``"ego"`` otherwise. Image
            coordinates are pixels of the image that was passed in.
        """

    def warmup(self) -> None:
        """Load what is slow the first time (kernels, autotuning) so that the first frame is no slower than the rest."""
        return

    def reset(self) -> None:
        """Forget the past: the next frame is the first of another drive, or comes after a jump in time."""
        return

    def describe(self) -> dict[str, Any]:
        """Say what produced the results, for the report.

        Returns:
            Any of ``model``, ``parameters``, ``weights`` (file name), ``weights_sha256`` and ``trained_on``
            (``"simulator"``, ``"published checkpoint"``, ...), all json-able.
        """
        return {"model": type(self).__name__}
