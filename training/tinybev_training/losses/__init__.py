"""What a student learns from annotations."""
