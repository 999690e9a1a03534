"""Independent computations side by side: the networks of one stage (`Branches`), the stages of a pipeline.

Where they run is a plan made from measured time and memory (`plan`), how they run is an executor: one after another,
threads that divide the processor's, processes with shared memory, or CUDA streams. Results never depend on it.
"""

from perception.runtime.parallel.branches import EXECUTORS, Branches
from perception.runtime.parallel.devices import Devices, TorchDevices
from perception.runtime.parallel.placement import Cost, Plan, Room, available, measure, plan
from perception.runtime.parallel.stages import ParallelExecutor

__all__ = [
    "EXECUTORS",
    "Branches",
    "Cost",
    "Devices",
    "ParallelExecutor",
    "Plan",
    "Room",
    "TorchDevices",
    "available",
    "measure",
    "plan",
]
