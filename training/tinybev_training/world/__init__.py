"""A synthetic world, written in nuScenes format: traffic, sensors, labels, map."""
