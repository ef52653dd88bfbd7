"""The routes of lobwife, the service before this one, with the answers that it gave; all of them are deprecated.

Their words mean what services/lobwife.py says.
"""
