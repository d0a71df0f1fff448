"""The file system that is saved and restored: nodes from files, and files from nodes."""
