"""Serve the console, sign people in at the issuer, and pass their calls on to the services with their tokens.

The browser has a cookie that names its session, and nothing else. The tokens stay here (ADR 0051).
"""
