"""From caption files and feature folders to token arrays."""
