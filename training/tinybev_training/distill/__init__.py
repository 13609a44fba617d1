"""What a student learns from a teacher: feature level, output level, region-aware."""
