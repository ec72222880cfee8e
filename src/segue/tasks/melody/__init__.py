"""Compose melodies: a note RNN that reinforcement learning teaches music theory."""
