"""becalm's backup engine: files and bytes, no Kubernetes.

Layers, imports go down only:

    cli → commands → repository | policy | volume → format | storage | chunking → contract → ids → errors

`format` and `policy` are pure: bytes or values in, values out.
"""
