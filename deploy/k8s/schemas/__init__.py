"""Schemas of the kinds of manifests, copied from packages of the projects that own them."""
