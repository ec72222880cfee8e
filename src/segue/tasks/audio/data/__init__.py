"""Labelled clips: rendered from our own symbolic music, or a user's audio with captions."""
