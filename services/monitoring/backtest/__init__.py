"""`python -m services.monitoring.backtest`: what a detector would have said of a model's recorded losses.

Reads a request as JSON on standard input (`request`), the archive of outcomes in the object store, and what fills no
segment yet in monitoring's files; writes the findings as JSON on standard output, progress on standard error. It asks
no broker, and changes nothing. The command `headrace backtest drift` runs it.
"""
