"""Cameras and LiDAR in a town."""
