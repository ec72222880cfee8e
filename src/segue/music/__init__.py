"""Symbolic music: notes, melody events, theory, files of notes, and their sound."""
