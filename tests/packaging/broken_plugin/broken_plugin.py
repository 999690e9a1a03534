"""Fails while it is imported, as a plugin does whose own dependency is missing."""

raise ImportError("the lantern driver is not installed")
