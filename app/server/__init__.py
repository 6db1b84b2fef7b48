"""What HTTP needs around the rooms: runtime, requests, problems, health."""
