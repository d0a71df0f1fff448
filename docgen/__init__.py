"""Pages about both packages and the chart.

It knows the engine and the operator, belongs to neither, and is not shipped.
"""
