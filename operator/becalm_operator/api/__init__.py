"""The custom resources as models: the single source of the CRDs, the reference and what the operator reads.

All data, no I/O. Unknown fields are ignored when read, so that an older operator survives a newer CRD.
"""
