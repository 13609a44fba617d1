"""ROS 2 topics for Foxglove: a bridge from any topic to Foxglove WebSocket clients.

``schemas`` finds the text of message definitions, ``discovery`` the topics and their quality of service, ``server`` is
what the bridge asks of a WebSocket server, ``sdk_server`` and ``websocket_server`` are two of them, ``settings`` the
parameters, and ``bridge`` puts them together.
"""

from tinybev_ros.foxglove.bridge import main

__all__ = ["main"]
