"""Systems: one folder each, registered in `registry.py`."""
