"""From listening logs to sessions, a vocabulary and a split."""
