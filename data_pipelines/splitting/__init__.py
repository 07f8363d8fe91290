"""Who trains, validates and tests; what is dropped; draws of users."""
