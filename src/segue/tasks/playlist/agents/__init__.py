"""What learns to choose among the candidates of the prior."""
