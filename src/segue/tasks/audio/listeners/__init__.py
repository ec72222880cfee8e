"""Networks that listen: similarity of text and sound, emotion, and an independent judge."""
