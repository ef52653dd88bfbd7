"""The process beside the agents: claim, run, beat, report. It speaks only to a Ledger, here or across the network."""
