"""Raw ids as integers and back: item tables, counts, the summary."""
