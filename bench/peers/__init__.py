"""Other queues under the same loads, each in an environment of its own, and Shoal's figures beside theirs."""
