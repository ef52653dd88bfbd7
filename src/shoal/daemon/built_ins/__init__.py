"""The jobs that Shoal brings along: a file each."""
