"""What a command, a job or the server does where the files are: reads them through adapters, and tells the ledger."""
