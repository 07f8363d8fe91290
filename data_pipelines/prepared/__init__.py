"""The data set on disk: written whole or not at all, opened, described."""
