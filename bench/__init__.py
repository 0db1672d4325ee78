"""How fast it is, measured from outside: `python -m bench` (`make bench`)."""
