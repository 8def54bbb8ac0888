"""Training tasks that clients can start."""
