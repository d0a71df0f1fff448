"""The API server: the only package that calls it. `port` says what the rest may ask of it."""
