"""One machine, no Docker: the embedded broker and the supervisor of our processes."""
