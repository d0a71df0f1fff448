"""becalm's operator: Kubernetes, and no bytes.

Layers, imports go down only:

    __main__ → handlers → cluster → plan → manifests | crdgen → api | settings

`api`, `manifests` and `plan` are pure: values in, values out, and `now` is an argument.
"""
