from hypothesis import settings

# Many small properties rather than long searches, and no deadline that a busy machine misses.
settings.register_profile("operator", max_examples=60, deadline=None)
settings.load_profile("operator")
