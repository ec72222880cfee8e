"""Reward terms of generated clips, by name."""
