"""Finished runs on one data set side by side."""
