"""STIF: a single-object visual tracker for robots. Nothing here imports ROS; running needs no PyTorch."""

__version__ = "0.1.0"
