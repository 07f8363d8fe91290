"""All that a run does and writes: stages, epochs, files, its page."""
