"""Other queues under the same loads: each in an environment of its own, told as JSON lines, set beside Shoal's figures."""
