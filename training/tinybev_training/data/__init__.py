"""nuScenes-format datasets -> samples with the targets of every head."""
