"""The agents that workers run: a file each, all of the shape in agent.py."""
