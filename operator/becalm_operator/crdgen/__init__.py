"""From the models to what a cluster and its users get: CRDs, the chart's copies of them, and the reference.

Pure but for `__main__`, which writes the files.
"""
