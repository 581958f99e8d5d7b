"""The model engines: plain data in, plain data out. Each imports its framework only when it is loaded."""
