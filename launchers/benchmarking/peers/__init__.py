"""The same work written by others, each the program of a child process."""
