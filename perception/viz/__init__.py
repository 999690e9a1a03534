"""Pictures of frames and results without a display: uint8 RGB arrays in, uint8 RGB arrays out."""

from perception.viz.bev import BevView, bev_picture
from perception.viz.clouds import cloud_from_above, cloud_in_picture
from perception.viz.colors import color_of, heat_colors
from perception.viz.draw import banner, boxes, dots, fit, grid, heatmap, polygons, polylines, text
from perception.viz.overlay import draw_frame, main_camera
from perception.viz.results import draw_result, project_line, summary

__all__ = [
    "BevView",
    "banner",
    "bev_picture",
    "boxes",
    "cloud_from_above",
    "cloud_in_picture",
    "color_of",
    "dots",
    "draw_frame",
    "draw_result",
    "fit",
    "grid",
    "heat_colors",
    "heatmap",
    "main_camera",
    "polygons",
    "polylines",
    "project_line",
    "summary",
    "text",
]
