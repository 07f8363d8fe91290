"""BIAO: learns how much each source behaviour's loss should count (WWW 2023)."""
