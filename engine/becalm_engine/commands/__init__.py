"""One use case a module: glue between the repository and the file system. Prints nothing, parses nothing."""
