"""Other services' data, read: a file per service. What is done with it is in services."""
