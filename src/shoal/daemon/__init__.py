"""The loops of `shoal serve`: each tick asks a service, acts through an adapter, tells a service."""
