"""The shell: the only place with a socket, a disk, a clock or a key file."""
