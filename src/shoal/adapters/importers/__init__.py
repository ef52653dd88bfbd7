"""Other services' data, read: a file per service. What is done with it is in services.

Backlogs of other tools are read by modules of one shape, which backlogs.py lists.
"""
