"""What services say to each other: envelope, events, topics, definitions. Imports pydantic and the standard library."""
