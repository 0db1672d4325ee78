"""The tables that every service's database has. A service's own revisions are in its package."""
