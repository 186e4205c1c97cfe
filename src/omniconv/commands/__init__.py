"""Commands that have a file of their own; ``omniconv.cli`` lists them."""
