"""Migrations of this service's tables, forward only. The tables of the chassis have separate migrations."""
