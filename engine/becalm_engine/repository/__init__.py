"""The encrypted object store over a storage: keys, locks, index, packs, snapshots."""
