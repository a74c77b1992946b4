"""Features: windowed state per entity, and each model's inputs as of each record.

Consumes `records.<source>`, and `entity.<source>-<field>`, which it publishes itself: the same records by a field that
is the entity of a view and not their key. Publishes `scoring.<model>` (a record with its inputs) and `features.<view>`
(a table of window states); tells of copies of these tables in `control.v1`. Answers `GET /v1/features/{view}/{entity}`.
Owns the window state of every entity.
"""
