"""Drills: break one thing on the local stack, and time how long the home page and the remedy take."""
