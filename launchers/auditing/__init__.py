"""What an audit says of a run."""
