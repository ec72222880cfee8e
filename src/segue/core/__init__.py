"""What every other part stands on: no media, no deep learning."""
