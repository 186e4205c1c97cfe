"""What people look at: globes, coloured labels, charts and self-contained pages."""
