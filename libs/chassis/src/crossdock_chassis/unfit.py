"""The error of a process that cannot work with the servers it is given."""


class Unfit(Exception):
    """A server refuses this process or does not suit it. The message names the remedy."""
