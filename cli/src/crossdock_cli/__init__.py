"""The `crossdock` command for any installation: commands, verify, replay and the checks of generated contracts."""
