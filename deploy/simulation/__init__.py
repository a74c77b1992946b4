"""All services in one process, on virtual time, with a seeded scheduler: the same seed gives the same history."""
