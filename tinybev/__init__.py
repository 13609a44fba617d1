"""TinyBEV: a camera-only student for bird's-eye-view perception and planning, and its runtime; no ROS in here."""

__version__ = "0.1.0"
