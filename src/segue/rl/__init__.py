"""What two tasks or more share beyond Stable-Baselines3."""
