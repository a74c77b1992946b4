"""From a record, window states and a time to the input vector of a model: one code for streams, HTTP and proofs."""
