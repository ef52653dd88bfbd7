"""Who is who between two scans, as pure functions: how alike, by what evidence, and which pairs are the best."""
