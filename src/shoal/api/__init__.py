"""The HTTP face: every verb as a route under /api/v1, streams, health, metrics, openapi.json."""
