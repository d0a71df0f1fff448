"""Pages about both packages. It knows the engine and the operator, belongs to neither, and is not shipped."""
