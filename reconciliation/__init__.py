"""The logic of the project, without I/O: decides which rows are in scope, who is who, what has to
change and whether that is safe. Nothing here reads a clock, the environment, a file or a socket;
``now`` is always passed in.
"""
