"""Item neighbours: what a user could have without any network, and its tables."""
