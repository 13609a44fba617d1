"""What can run the student: the interface, and one file a runtime."""
