"""This service's tables, forward only. The chassis's own tables have a history of their own."""
