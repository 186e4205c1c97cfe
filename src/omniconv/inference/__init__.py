"""What trained networks are used for: prediction, evaluation."""
