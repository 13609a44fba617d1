"""The five heads on the shared features, one file each, and the peaks that join detection and motion."""
