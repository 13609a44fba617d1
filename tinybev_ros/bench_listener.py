"""A program that subscribes to every output of a node, named as its argument, until its standard input is closed."""

from __future__ import annotations

import os
import sys
import threading

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from tinybev_ros.outputs import OUTPUTS, QOS


def listen(node_name: str) -> None:
    """Takes every message and does nothing with it."""
    rclpy.init()
    node = Node(f"listener_{os.getpid()}")
    for output in OUTPUTS:
        node.create_subscription(output.message_type, output.topic.replace("~", node_name), lambda _message: None, QOS)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    spinning = threading.Thread(target=executor.spin)
    spinning.start()
    sys.stdin.read()
    executor.shutdown()
    spinning.join()
    node.destroy_node()
    rclpy.shutdown()


if __name__ == "__main__":
    listen(sys.argv[1])
