"""Serving: runs the models, decides nothing.

Consumes `scoring.<model>` (records with their inputs), `features.<view>` (tables) and `control.v1`. Publishes
`predictions.<model>`, and to `control.v1` which versions this replica has loaded and how its requests went.
Owns the loaded models, HTTP inference (plain and Open Inference Protocol v2) and the log of requests.
"""
