"""What to do next: wish and world in, one step out. Pure; doing a step twice is harmless."""
