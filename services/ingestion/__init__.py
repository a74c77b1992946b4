"""Ingestion: what users publish becomes records that the platform can rely on.

Consumes the topics of sources (any client, any key) and `POST /v1/records/{source}`, and `intake.<source>`.
Publishes `intake.<source>` (records under their own key), `records.<source>` (accepted, late ones marked),
`records.rejected` (with a reason), and segments of accepted records.
Owns validation, de-duplication, lateness, quarantine, and the archive of accepted records.
"""
