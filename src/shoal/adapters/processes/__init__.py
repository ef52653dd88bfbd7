"""Programs of this machine: started in groups that end whole, bounded in time and output."""
