"""What this project is for, free of I/O: which rows are ours, which person a row is, what has to
change and whether that is safe. Nothing here reads a clock, the environment, a file or a socket;
``now`` is always passed in.
"""
