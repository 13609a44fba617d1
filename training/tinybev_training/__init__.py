"""Trains, distils and evaluates the student; imports tinybev, and is imported by nothing that drives."""
