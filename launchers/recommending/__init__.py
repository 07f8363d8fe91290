"""Recommendations for many users: whose histories, and where the answers go."""
