"""Real restic, three versions: it checks, restores and continues what becalm writes, and the other way round."""
