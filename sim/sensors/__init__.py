"""Simulated sensors: ray casting, shading and camera effects."""
