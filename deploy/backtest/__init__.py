"""`python -m deploy.backtest`: what other `retrain` and `rollout` settings would have made of a model's records.

Reads a request as JSON on standard input (`request`), the archive of outcomes with their inputs; plays them through the
decisions of monitoring, training and registry with real fits, once for each configuration; writes the findings as JSON
on standard output, progress on standard error. It asks no broker, and changes nothing. The command
`headrace backtest policy` runs it.
"""
