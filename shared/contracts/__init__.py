"""What services say to each other: envelope, events, topics, definitions. Imports only pydantic and the standard library."""
