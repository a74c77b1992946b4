"""Training: decides when a model is fitted again and on what, searches, fits, exports to ONNX, checks parity and
evaluates.

Consumes `control.v1` and outcomes (archived segments and the newest of the topic); publishes runs; owns the run
history.
"""
