"""A third-party plugin: the description is all that is imported until a pipeline asks for the stage."""

from perception.plugin import PluginSpec

PLUGIN = PluginSpec(
    name="bright_spot",
    task="bright spot detection",
    summary="A box around the pixels that are brighter than a threshold.",
    result="boxes_2d",
    sensors=("camera:front",),
    modules=("sample_plugin.stage",),
)
