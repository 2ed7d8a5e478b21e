"""The command line: each command a file, click at the door, rich only where people read."""
