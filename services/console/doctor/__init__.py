"""`headrace doctor`: what is wrong with a platform, why it matters, and how it is mended.

Lookers gather what can be seen from here (services over HTTP, the log, the object store, folders of state); checks
assess it and do no I/O. Each check stands alone: one that lacks what it needs says so.
"""
