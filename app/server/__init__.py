"""HTTP infrastructure: runtime, requests, problem responses, health."""
