"""Console: a read model of the whole platform, served over HTTP, and the command line that asks it.

Consumes `control.v1`, users' topics (counted only), `records.*`, `records.rejected.v1`, `predictions.*`, `outcomes.*`
and dead letters; publishes commands, requests to change definitions, and ticks of replays to `control.v1`; owns nothing
but what it can read again: its read model is kept in memory and made anew from the topics at every start.
"""
