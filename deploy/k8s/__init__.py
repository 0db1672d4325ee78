"""Kubernetes manifests, made from the installed services. `python -m deploy.k8s` compares them; `write` writes them."""
