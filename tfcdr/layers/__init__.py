"""What the networks of several systems are built of."""
