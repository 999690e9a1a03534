"""Crowds seen by a surveillance, phone or street camera, with every visible head labelled."""

from perception.sim.crowd.sample import CrowdSample, render_crowd_sample

__all__ = ["CrowdSample", "render_crowd_sample"]
