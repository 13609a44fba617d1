"""What every command that works long shares: files whole or not at all, one process a folder, lost processes."""
