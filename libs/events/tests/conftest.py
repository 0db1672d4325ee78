from hypothesis import settings

# A loaded machine is not a bug, so no deadlines per example; the suite's own time limit catches what hangs.
settings.register_profile("crossdock-events", deadline=None)
settings.load_profile("crossdock-events")
